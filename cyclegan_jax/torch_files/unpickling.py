"""Reads the pickled part of PyTorch's files without executing it.

A pickle is a program for a stack machine that may import and call anything. This
machine knows the few instructions that tables of tensors consist of, calls nothing but
the functions below, and refuses everything else.
"""

import io
import pickletools
from collections.abc import Callable
from typing import Any

from cyclegan_jax.torch_files.tensors import BadFile, Storage, Tensor

_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ITEMS = {"SETITEM": dict, "SETITEMS": dict, "APPEND": list, "APPENDS": list}
_MARK = object()


class Global:
    """The name of something that the pickle would import; never imported here.

    Attributes:
      name: such as "torch.FloatStorage".
    """

    def __init__(self, name: str):
        """Wraps the name."""
        self.name = name


def _ordered_dict(*args):
    if args:
        raise BadFile("it builds a dictionary in an unusual way")
    return {}


def _tensor(storage, offset, size, stride, *_):
    return Tensor.checked(storage, offset, size, stride)


def _parameter(tensor, *_):
    return tensor


_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
}


def load(
    stream: io.BufferedIOBase, storage: Callable[[tuple], Storage] | None = None
) -> Any:
    """Reads one pickle; the stream then stands behind it.

    Args:
      stream: of the file's bytes.
      storage: makes a `Storage` from the tuple that refers to it.

    Returns:
      Dictionaries, lists, tuples, numbers, strings and `Tensor`s.

    Raises:
      BadFile: the pickle is damaged, or asks for anything else.
    """
    machine = _Machine(storage)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop()
            machine.execute(opcode.name, argument)
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadFile("its list of tensors is damaged") from error
    raise BadFile("its list of tensors is cut off")


def _global(name):
    module, _, attribute = name.partition(" ")
    name = f"{module}.{attribute}"
    is_storage = module in ("torch", "torch.cuda") and attribute.endswith("Storage")
    if name not in _CALLS and not is_storage:
        hint = ""
        if module.startswith(("torch.nn", "models", "networks", "__torch__")):
            hint = "; save the network's state_dict() instead"
        raise BadFile(
            f"it wants to run {name[:80]!r}, which no file of weights needs{hint}"
        )
    return Global(name)


class _Machine:
    def __init__(self, storage):
        self._storage = storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark is no value")
        return value

    def _pop_to_mark(self):
        at = len(self._stack) - 1 - self._stack[::-1].index(_MARK)
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def execute(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _NUMBERS or name in _STRINGS:
            stack.append(argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name in _TUPLES:
            stack.append(tuple([self.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name in _ITEMS:
            self._add_items(name)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        else:
            self._execute_call(name, argument)

    def _add_items(self, name):
        several = name.endswith("S")
        if _ITEMS[name] is list:
            values = self._pop_to_mark() if several else [self.pop()]
        else:
            values = self._pop_to_mark() if several else [self.pop(), self.pop()][::-1]
        container = self._stack[-1]
        if type(container) is not _ITEMS[name]:
            raise TypeError("items for something that holds none")
        if isinstance(container, list):
            container.extend(values)
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int):  # Others may take for ever to hash.
                raise TypeError("a key that is no name")
            container[key] = value

    def _execute_call(self, name, argument):
        stack = self._stack
        if name == "GLOBAL":
            stack.append(_global(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            stack.append(_global(f"{module:s} {attribute:s}"))
        elif name == "REDUCE":
            args, function = self.pop(), self.pop()
            if type(args) is not tuple or type(function) is not Global:
                raise TypeError("a call of something that is no function")
            stack.append(_CALLS[function.name](*args))
        elif name == "BINPERSID":
            reference = self.pop()
            if self._storage is None or type(reference) is not tuple:
                raise ValueError("a storage where none can be")
            stack.append(self._storage(reference))
        elif name == "BUILD":
            self.pop()  # The attributes of a dictionary: versions of its modules.
            if type(stack[-1]) is not dict:
                raise TypeError("attributes for something that has none")
        else:
            raise BadFile(f"it holds the instruction {name}, which no weights need")
