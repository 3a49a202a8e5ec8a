"""What TPU chips can do, as published by Google, and how slices connect them.

Memory, its bandwidth and the bfloat16 peak are from the pages v4, v5e, v5p and v6e of
https://docs.cloud.google.com/tpu/docs; the bandwidth of a link between two chips, and
where slices wrap around, from https://jax-ml.github.io/scaling-book/tpus ("TPU specs").
All read in November 2026. What a program may use of the memory is what the compiler of
libtpu 0.0.42 names when it refuses one that needs more.
"""

import dataclasses
import math
import re

from cyclegan_jax.errors import UserError

GIB = 2**30
_PLANE = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8")


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of TPU chip.

    Attributes:
      name: as in `v5e:4x4`.
      peak: bfloat16 operations a second. XLA multiplies float32 on these units too,
        rounded to bfloat16, unless `jax_default_matmul_precision` says otherwise.
      memory: of one chip, in bytes.
      usable: bytes of it that a program may use.
      bandwidth: of that memory, in bytes a second.
      link: bytes a second that a chip sends over one link.
      slices: common shapes, from one host (or chip) to 256 chips.
    """

    name: str
    peak: float
    memory: float
    usable: float
    bandwidth: float
    link: float
    slices: tuple[str, ...]


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 32 * GIB, 30.75 * GIB, 1200e9, 45e9, _CUBE),
        Chip("v5e", 197e12, 16 * GIB, 15.75 * GIB, 819e9, 45e9, _PLANE),
        Chip("v5p", 459e12, 95 * GIB, 95.74 * GIB, 2765e9, 90e9, _CUBE),
        Chip("v6e", 918e12, 32 * GIB, 31.25 * GIB, 1638e9, 90e9, _PLANE),
    )
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips in a rectangle or a box, each connected to its neighbours.

    Attributes:
      chip: their kind.
      shape: their number in each direction.
    """

    chip: Chip
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, name: str) -> "Slice":
        """Reads a name such as v5e:4x4.

        Raises:
          UserError: there is no such kind, or it has no such shapes.
        """
        kind, _, shape = name.partition(":")
        chip = CHIPS.get(kind)
        if not chip or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
            raise unknown(name)
        sizes = tuple(int(size) for size in shape.split("x"))
        if len(sizes) != chip.slices[0].count("x") + 1:
            raise unknown(name)
        return cls(chip, sizes)

    @property
    def name(self) -> str:
        """Such as v5e:4x4."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def count(self) -> int:
        """The number of chips."""
        return math.prod(self.shape)

    @property
    def links(self) -> int:
        """Links to other chips of the slice that every chip has at least.

        Slices of 4x4x4 cubes (v4, v5p), and directions that are 16 long (v5e, v6e),
        wrap around; elsewhere the corners have one link in each direction.
        """
        if len(self.shape) == 3:
            wrapped = [all(size % 4 == 0 for size in self.shape)] * 3
        else:
            wrapped = [size == 16 for size in self.shape]
        return sum(
            1 + wraps
            for size, wraps in zip(self.shape, wrapped, strict=True)
            if size > 1
        )


def unknown(name: str) -> UserError:
    """Returns the error for a topology that there is not."""
    known = "; ".join(
        f"{chip.name}:{', '.join(chip.slices)}" for chip in CHIPS.values()
    )
    return UserError(
        f"unknown topology {name!r}; there is cpu, gpu, and slices of TPUs,"
        f" such as {known}."
    )
