"""Reads the pickled part of PyTorch's files without executing it.

A pickle is a program for a stack machine that may import and call anything. This
machine knows the few instructions that PyTorch's files consist of, calls nothing but
the functions in `calls.py`, and refuses to call anything else. Objects of other classes
are kept as their attributes: nothing of the class is looked up.

Why it is our own: Python's `pickle.Unpickler` in C, with a `find_class` that refuses,
executes nothing either, but a file of a few bytes can make it allocate without limit
(CPython issue 115952: it trusts memo indices and string lengths). Here every length is
checked against the size of the file.
"""

import io
import pickletools
from collections.abc import Callable, Sized
from typing import Any

import numpy as np

from cyclegan_jax.torch_files.calls import CALLS, Global, Record
from cyclegan_jax.torch_files.tensors import (
    BadFile,
    Computed,
    Other,
    Storage,
    Tensor,
    Unbuilt,
)

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
_STRINGS = (
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}
_ITEMS = {
    **{"SETITEM": dict, "SETITEMS": dict},
    **{"APPEND": list, "APPENDS": list, "ADDITEMS": list},
}
_WITH_NOTES = (dict, Tensor, Computed, np.ndarray, Other)
_MOST_INSTRUCTIONS = 2**20  # A generator has 3,000; a training's checkpoint 50,000.
_LONGEST_NAME = 1000  # Characters; a tensor's has 50.
_MOST_COPIED = 2**22  # Entries of lists that calls may copy, and the file's size.


def load(stream: io.BytesIO, storage: Callable[[tuple], Storage] | None = None) -> Any:
    """Reads one pickle, and leaves the stream at its end.

    Args:
      stream: of the file's bytes.
      storage: makes a `Storage` from the tuple that refers to it.

    Returns:
      Dictionaries, lists (also for sets), tuples, numbers, strings, `Tensor`s and
      `Computed` ones, `Unbuilt` values, `Record`s of other objects, and `Global`s for
      functions and classes.

    Raises:
      BadFile: the pickle is damaged, or asks for anything else.
    """
    machine = _Machine(storage, _MOST_COPIED + stream.getbuffer().nbytes)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if number > _MOST_INSTRUCTIONS:
                raise BadFile("its list of tensors is too long to be one")
            if opcode.name == "STOP":
                return machine.pop()
            machine.execute(opcode.name, argument)
    except (IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadFile("its list of tensors is damaged") from error
    raise BadFile("its list of tensors is cut off")


def _global(module, attribute):
    if max(len(module), len(attribute)) > _LONGEST_NAME:
        raise BadFile("it wants to run something with an endless name")
    module = "builtins" if module == "__builtin__" else module  # Python 2's name.
    return Global(f"{module:s}.{attribute:s}")


def _check_key(key):
    """Refuses keys that could take very long to hash or to print."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > 8 or not all(map(_is_short, parts)):
        raise BadFile("it has entries without a name of reasonable length")


def _is_short(part):
    if type(part) in (str, bytes):
        return len(part) <= _LONGEST_NAME
    if type(part) is int:
        return abs(part) < 2**64
    return part is None or type(part) in (bool, float, Global)


class _Machine:
    def __init__(self, storage, most_copied):
        self._storage = storage
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # What was on the stack before each mark.
        self._memo: dict[int, Any] = {}
        self._may_copy = most_copied

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
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
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
        if type(container) is Record:  # Of a class that is made of dict or list.
            container = container.items if _ITEMS[name] is dict else []
        if type(container) is not _ITEMS[name]:
            raise TypeError("items for something that holds none")
        if isinstance(container, list):
            container.extend(values)
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
            _check_key(key)
            container[key] = value

    def _execute_call(self, name, argument):
        stack = self._stack
        if name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            stack.append(_global(module, attribute))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            stack.append(_global(module, attribute))
        elif name == "REDUCE":
            args, function = self.pop(), self.pop()
            stack.append(self._call(function, args))
        elif name == "NEWOBJ":
            args, cls = self.pop(), self.pop()
            if type(args) is not tuple or type(cls) is not Global:
                raise TypeError("an object of something that is no class")
            stack.append(self._call(cls, args) if cls.name in CALLS else Record(cls))
        elif name == "BINPERSID":
            reference = self.pop()
            if self._storage is None or type(reference) is not tuple:
                raise ValueError("a storage where none can be")
            stack.append(self._storage(reference))
        elif name == "BUILD":
            state = self.pop()
            if type(stack[-1]) is Record:
                stack[-1].state = state
            elif type(stack[-1]) is Unbuilt:
                stack[-1].build(state)
            elif type(stack[-1]) not in _WITH_NOTES:  # Versions, say.
                raise TypeError("attributes for something that has none")
        else:
            raise BadFile(f"it holds the instruction {name}, which no weights need")

    def _call(self, function, args):
        if type(args) is not tuple or len(args) > 10 or type(function) is not Global:
            raise TypeError("a call of something that is no function")
        if function.name not in CALLS:
            raise BadFile(
                f"it wants to run {function.name[:80]!r}, which no file of weights"
                " needs; save the network's state_dict() alone"
            )
        # A few bytes may ask for one more copy of a long list.
        self._may_copy -= sum(len(arg) for arg in args if isinstance(arg, Sized))
        if self._may_copy < 0:
            raise BadFile("it copies more than a file of weights needs to")
        return CALLS[function.name](*args)
