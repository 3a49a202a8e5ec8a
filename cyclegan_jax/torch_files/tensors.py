"""What the tables in PyTorch's files are made of, with every bound checked."""

import dataclasses
import math
from collections.abc import Callable
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
    "QInt8Storage": np.dtype("i1"),
    "QUInt8Storage": np.dtype("u1"),
    "QInt32Storage": np.dtype("<i4"),
    "QUInt4x2Storage": np.dtype("u1"),  # Several numbers in a byte.
    "QUInt2x4Storage": np.dtype("u1"),
}
_FLOAT8 = ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")
TORCH_DTYPES = {
    **{f"torch.uint{n}": np.dtype(f"<u{n // 8}") for n in (16, 32, 64)},
    **{
        f"torch.float8_{n}": np.dtype(getattr(ml_dtypes, f"float8_{n}"))
        for n in _FLOAT8
    },
}
_MOST = 2**40  # Numbers in a tensor, and numbers that describe it.
_MOST_SIDES = 32
MOST_REPEATED = 2**26
"""Numbers in a tensor that has more of them than its file; a large layer has 2**24."""
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
            or len(shape) > _MOST_SIDES
            or not all(type(n) is int for n in (offset, *shape, *strides))
            or not all(0 <= n < _MOST for n in (offset, *shape, *strides))
            or math.prod(max(n, 1) for n in shape) >= _MOST
        ):
            raise BadFile("a tensor's description is damaged")
        count = math.prod(shape)
        steps = zip(shape, strides, strict=True)
        last = offset + sum((n - 1) * stride for n, stride in steps)
        most = max(storage.count, MOST_REPEATED)  # Where strides are 0, from `expand`.
        if count and (last >= storage.count or count > most):
            raise BadFile("a tensor reaches beyond the numbers in the file")
        return cls(storage, offset, tuple(shape), tuple(strides), **flags)

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as a read-only view of its storage's numbers."""
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        steps = zip(self.shape, self.strides, strict=True)
        strides = [stride * numbers.itemsize if n > 1 else 0 for n, stride in steps]
        offset = self.offset * numbers.itemsize
        view = np.ndarray(self.shape, numbers.dtype, numbers, offset, strides)
        view = np.conj(view) if self.conj else view
        return -view if self.neg else view


@dataclasses.dataclass(frozen=True, eq=False)
class Computed:
    """A tensor whose numbers follow from those of others.

    Attributes:
      parts: the others.
      compute: makes it from their numbers.
      count: how many numbers it has.
    """

    parts: tuple[Tensor, ...]
    compute: Callable[..., np.ndarray]
    count: int


class Unbuilt:
    """What a pickle creates empty, and describes later.

    Attributes:
      value: what it became.
    """

    def __init__(self, build: Callable[[Any], Any], before: Any):
        """Starts with the value `before`; `build` makes another of a description."""
        self._build, self.value = build, before

    def build(self, state: Any) -> None:
        """Takes the description."""
        self.value = self._build(state)


def built(value: Any) -> Any:
    """Returns what a value became."""
    return value.value if type(value) is Unbuilt else value
