"""What the tables in PyTorch's files are made of, with every bound checked."""

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np

DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
    "ComplexFloatStorage": np.dtype("<c8"),
    "ComplexDoubleStorage": np.dtype("<c16"),
    "UntypedStorage": np.dtype("u1"),
}
TORCH_DTYPES = {
    **{f"torch.uint{n}": np.dtype(f"<u{n // 8}") for n in (16, 32, 64)},
    "torch.float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "torch.float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}
_MOST = 2**40  # Numbers in a tensor, and numbers that describe it.
SAFETENSORS_DTYPES = {
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BOOL": np.dtype("?"),
    "C64": np.dtype("<c8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}


class BadFile(Exception):
    """What is wrong with a file: the second half of a sentence about it."""


@dataclasses.dataclass(frozen=True)
class Other:
    """Something that is no tensor of numbers.

    Attributes:
      what: such as "a sparse tensor".
    """

    what: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers in a file.

    Attributes:
      key: its name in the file.
      dtype: of its numbers; None if NumPy has no such numbers.
      count: how many it has.
      first: where it starts in the numbers that the file keeps under that name.
      kind: what PyTorch calls it.
    """

    key: str
    dtype: np.dtype | None
    count: int
    first: int = 0
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage: shape and strides in numbers, as PyTorch has them.

    `neg` and `conj` are PyTorch's lazy negation and conjugation of the numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    neg: bool = False
    conj: bool = False

    @classmethod
    def checked(
        cls, storage: Any, offset: Any, shape: Any, strides: Any, **flags: bool
    ) -> "Tensor":
        """Makes a tensor from untrusted values.

        Raises:
          BadFile: they do not describe a part of the storage.
        """
        if (
            type(storage) is not Storage
            or not {type(shape), type(strides)} <= {tuple, list}
            or len(shape) != len(strides)
            or len(shape) > 8
            or not all(type(n) is int for n in (offset, *shape, *strides))
            or not all(0 <= n < _MOST for n in (offset, *shape, *strides))
            or math.prod(max(n, 1) for n in shape) >= _MOST
        ):
            raise BadFile("a tensor's description is damaged")
        count = math.prod(shape)
        steps = zip(shape, strides, strict=True)
        last = offset + sum((n - 1) * stride for n, stride in steps)
        if count and (last >= storage.count or count > storage.count):
            raise BadFile("a tensor reaches beyond the numbers in the file")
        return cls(storage, offset, tuple(shape), tuple(strides), **flags)

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as a read-only view of its storage's numbers."""
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        steps = zip(self.shape, self.strides, strict=True)
        strides = [stride * numbers.itemsize if n > 1 else 0 for n, stride in steps]
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, strides, writeable=False
        )
        view = np.conj(view) if self.conj else view
        return -view if self.neg else view
