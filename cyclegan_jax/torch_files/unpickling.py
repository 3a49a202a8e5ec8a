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
_LONGEST_PICKLE = 2**20  # Bytes; a generator's is 20 kB.
_LONGEST_NAME = 1000  # Characters; a tensor's has 50.


class Global:
    """The name of something that the pickle would import; never imported here.

    Attributes:
      name: such as "torch.FloatStorage".
    """

    def __init__(self, name: str):
        """Wraps the name."""
        self.name = name


def _ordered_dict(pairs=()):
    for pair in pairs:  # Python 2 wrote them here.
        if (
            type(pair) not in (list, tuple)
            or len(pair) != 2
            or type(pair[0]) is not str
        ):
            raise BadFile("it builds a dictionary in an unusual way")
    return dict(pairs)


def _tensor(storage, offset, size, stride, grad=False, hooks=None, metadata=None):
    if metadata:
        raise BadFile("it has a tensor with a sign or conjugation set aside")
    return Tensor.checked(storage, offset, size, stride)


def _parameter(tensor, grad=False, hooks=None):
    return tensor


def _size(sides):
    if type(sides) is not tuple:
        raise TypeError("a size that is no tuple")
    return sides


_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
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
    machine, start = _Machine(storage), stream.tell()
    try:
        for opcode, argument, position in pickletools.genops(stream):
            if position - start > _LONGEST_PICKLE:
                raise BadFile("its list of tensors is too long to be one")
            if opcode.name == "STOP":
                return machine.pop()
            machine.execute(opcode.name, argument)
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadFile("its list of tensors is damaged") from error
    raise BadFile("its list of tensors is cut off")


def _global(name):
    if len(name) > _LONGEST_NAME:
        raise BadFile("it wants to run something with an endless name")
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
        self._below: list[list[Any]] = []  # What was on the stack before each mark.
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self._stack.pop()

    def _pop_to_mark(self):
        values, self._stack = self._stack, self._below.pop()
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
            self._below.append(stack)
            self._stack = []
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "TUPLE":
            values = self._pop_to_mark()
            self._stack.append(tuple(values))
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
            if type(key) is not str or len(key) > _LONGEST_NAME:
                # Others may take for ever to hash.
                raise BadFile("it has entries without a name of reasonable length")
            container[key] = value

    def _execute_call(self, name, argument):
        stack = self._stack
        if name == "GLOBAL":
            stack.append(_global(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            if max(len(module), len(attribute)) > _LONGEST_NAME:
                raise ValueError("an endless name")
            stack.append(_global(f"{module:s} {attribute:s}"))
        elif name == "REDUCE":
            args, function = self.pop(), self.pop()
            if type(args) is not tuple or len(args) > 8 or type(function) is not Global:
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
