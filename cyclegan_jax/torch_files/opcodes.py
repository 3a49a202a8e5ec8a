"""The pickle instructions (protocol 2) that describe tensors, as bytes."""

import pickle
import struct


def reference(module: str, name: str) -> bytes:
    """Pushes what a module has under this name."""
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def string(text: str) -> bytes:
    """Pushes a string."""
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def integer(number: int) -> bytes:
    """Pushes a number that is not negative."""
    if number < 2**31:
        return pickle.BININT + struct.pack("<i", number)
    data = pickle.encode_long(number)
    return pickle.LONG1 + bytes([len(data)]) + data


def sequence(*parts: bytes) -> bytes:
    """Pushes a tuple of what these instructions push."""
    return pickle.MARK + b"".join(parts) + pickle.TUPLE
