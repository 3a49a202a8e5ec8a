"""Tensors that are more than a view of numbers, and NumPy's arrays and numbers.

Quantized and sparse tensors become ordinary ones, as `dequantize` and `to_dense` do.
"""

import functools
import math
import re
from typing import Any

import numpy as np

from cyclegan_jax.torch_files.tensors import (
    BadFile,
    Computed,
    Other,
    Storage,
    Tensor,
    Unbuilt,
    built,
)

COORDINATES = Other("torch.sparse_coo")
"""What says that a sparse tensor has its numbers' places."""


def quantized(storage, offset, size, stride, quantizer, grad=False, hooks=None):
    """`torch._utils._rebuild_qtensor`."""
    scheme, *parameters = quantizer
    name = getattr(scheme, "name", "").removeprefix("torch.")
    packed = type(storage) is not Storage or "x" in storage.kind
    if packed or not name.startswith(("per_tensor_", "per_channel_")):
        return Other("a quantized tensor")
    tensor = Tensor.checked(storage, offset, size, stride)
    count = math.prod(tensor.shape)
    if name.startswith("per_tensor_"):
        scale, zero = map(float, parameters)
        fixed = functools.partial(_dequantize, scale=scale, zero=zero, axis=None)
        return Computed((tensor,), fixed, count)
    scales, zeros, axis = map(built, parameters)
    if not type(scales) is type(zeros) is Tensor or not 0 <= axis < len(tensor.shape):
        raise TypeError("scales of no tensor")
    if not scales.shape == zeros.shape == tensor.shape[axis : axis + 1]:
        raise ValueError("scales for other channels")
    each = functools.partial(_dequantize, axis=axis)
    return Computed((tensor, scales, zeros), each, count)


def _dequantize(numbers, scale, zero, axis):
    if axis is not None:
        shape = [1] * numbers.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    shifted = numbers.astype(np.float64) - zero
    return shifted.astype(np.float32) * np.asarray(scale, np.float32)


def sparse(layout, data):
    """`torch._utils._rebuild_sparse_tensor`; of coordinates, as kernels can be."""
    if layout != COORDINATES or len(data) < 3:  # The others are matrices.
        return Other("a sparse tensor")
    indices, values, size = map(built, data[:3])
    if not type(indices) is type(values) is Tensor or type(size) is not tuple:
        raise TypeError("a sparse tensor of no tensors")
    # The same bounds as those of a tensor with one number.
    one = Storage("", np.dtype("u1"), 1)
    Tensor.checked(one, 0, size, (0,) * len(size))
    if values.shape != (indices.shape[1], *size[indices.shape[0] :]):
        raise ValueError("a sparse tensor of another shape")
    fill = functools.partial(_fill, size=size)
    return Computed((indices, values), fill, math.prod(size))


def _fill(indices, values, size):
    dense = np.zeros(size, values.dtype)
    sides = np.array(size[: len(indices)])[:, None]
    if indices.dtype.kind != "i" or ((indices < 0) | (indices >= sides)).any():
        raise BadFile("a sparse tensor has numbers outside of it")
    np.add.at(dense, tuple(indices), values)  # Those at one place are added.
    return dense


def dtype(code, *rest):
    """`numpy.dtype`, whose byte order follows."""
    plain = type(code) is str and re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)", code)
    if not plain:
        return Other("a type of NumPy")
    first = np.dtype(code)
    return Unbuilt(lambda state: first.newbyteorder(_order(state)), first)


def _order(state):
    order = state[1]
    return order.decode() if isinstance(order, bytes) else order


def array(*args):
    """`numpy.core.multiarray._reconstruct`, whose shape and numbers follow."""
    return Unbuilt(_array, Other("an array of NumPy"))


def _array(state):
    _, shape, kind, by_columns, data = state
    kind = built(kind)
    if not isinstance(kind, np.dtype) or type(data) is not bytes:
        return Other("an array of NumPy")
    numbers = np.frombuffer(data, kind)
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array of no shape")
    return numbers.reshape(shape, order="F" if by_columns else "C")


def number(kind, data=b"", *rest) -> Any:
    """`numpy.core.multiarray.scalar`."""
    kind = built(kind)
    if not isinstance(kind, np.dtype) or type(data) is not bytes:
        return Other("a number of NumPy")
    return np.frombuffer(data, kind, 1)[0].item()


def encoded(text, encoding="", *rest):
    """`_codecs.encode`, in which Python 3 writes bytes for Python 2."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        return Other("bytes")
    return text.encode("latin1")


def tensor_of_array(value, kind=None, device=None, grad=False):
    """`torch._utils._rebuild_device_tensor_from_numpy`, as of TPUs."""
    return built(value)
