"""Writes what `torch.load` reads, without PyTorch; the same tensors, the same bytes."""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from cyclegan_jax.torch_files.tensors import DTYPES

_EPOCH = (1980, 1, 1, 0, 0, 0)  # No clock: the file depends on the tensors alone.


def to_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Returns the zip format of PyTorch 1.6 and later, as for an OrderedDict.

    Args:
      tensors: arrays by name.

    Raises:
      TypeError: an array has a type that PyTorch has no counterpart for.
    """
    entries = {"data.pkl": _pickle(tensors), "byteorder": b"little"}
    for number, array in enumerate(tensors.values()):
        little = np.asarray(array).astype(_dtype(array), copy=False)
        entries[f"data/{number}"] = little.tobytes()
    entries["version"] = b"3\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _EPOCH), data)
    return buffer.getvalue()


def _dtype(array):
    return np.asarray(array).dtype.newbyteorder("<")


def _storage_name(array):
    for name, dtype in DTYPES.items():
        if dtype == _dtype(array):
            return name
    raise TypeError(f"PyTorch has no numbers of the type {np.asarray(array).dtype}")


def _pickle(tensors):
    """An OrderedDict of name -> _rebuild_tensor_v2(storage, 0, size, stride, ...)."""
    parts = [pickle.PROTO + b"\x02", _global("collections", "OrderedDict")]
    parts += [pickle.EMPTY_TUPLE, pickle.REDUCE, pickle.MARK]
    for number, (name, array) in enumerate(tensors.items()):
        array = np.asarray(array)
        parts += [
            _string(name),
            _global("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK,
            _tuple(
                _string("storage"),
                _global("torch", _storage_name(array)),
                _string(str(number)),
                _string("cpu"),
                _integer(array.size),
            ),
            pickle.BINPERSID,
            _integer(0),
            _tuple(*map(_integer, array.shape)),
            _tuple(*map(_integer, _strides(array.shape))),
            pickle.NEWFALSE,  # requires_grad
            _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE,
            pickle.TUPLE,
            pickle.REDUCE,
        ]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _strides(shape):
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def _global(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _string(text):
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(number):
    if number < 2**31:
        return pickle.BININT + struct.pack("<i", number)
    data = pickle.encode_long(number)
    return pickle.LONG1 + bytes([len(data)]) + data


def _tuple(*parts):
    return pickle.MARK + b"".join(parts) + pickle.TUPLE
