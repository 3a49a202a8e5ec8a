"""Writes what `torch.load` reads, without PyTorch; the same tensors, the same bytes."""

import io
import pickle
import zipfile
from collections.abc import Mapping

import numpy as np

from cyclegan_jax.torch_files import opcodes
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
    parts = [pickle.PROTO + b"\x02", opcodes.reference("collections", "OrderedDict")]
    parts += [pickle.EMPTY_TUPLE, pickle.REDUCE, pickle.MARK]
    for number, (name, array) in enumerate(tensors.items()):
        array = np.asarray(array)
        parts += [
            opcodes.string(name),
            opcodes.reference("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK,
            opcodes.sequence(
                opcodes.string("storage"),
                opcodes.reference("torch", _storage_name(array)),
                opcodes.string(str(number)),
                opcodes.string("cpu"),
                opcodes.integer(array.size),
            ),
            pickle.BINPERSID,
            opcodes.integer(0),
            opcodes.sequence(*map(opcodes.integer, array.shape)),
            opcodes.sequence(*map(opcodes.integer, _strides(array.shape))),
            pickle.NEWFALSE,  # requires_grad
            opcodes.reference("collections", "OrderedDict")
            + pickle.EMPTY_TUPLE
            + pickle.REDUCE,
            pickle.TUPLE,
            pickle.REDUCE,
        ]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _strides(shape):
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
