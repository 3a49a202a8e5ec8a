"""What TPU chips can do, as published by Google, and how slices connect them.

Memory, its bandwidth and the bfloat16 peak are from the pages v4, v5e, v5p, v6e and
tpu7x of https://docs.cloud.google.com/tpu/docs; the bandwidth of a link between two
chips, and where slices wrap around, from https://jax-ml.github.io/scaling-book/tpus
("TPU specs"), TPU7x's link from the bandwidth of a chip's six. All read in November
2026. What a program may use of the memory is what the compiler of libtpu 0.0.52 names
when it refuses one that needs more. The clock is that of the peak: 128x128 products of
each of v4's and v5p's eight matrix units and v5e's four, 256x256 of v6e's four; of
TPU7x none is published.
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
      accelerator: what Google calls the smallest host of them.
      peak: bfloat16 operations a second. XLA multiplies float32 on these units too,
        rounded to bfloat16, unless `jax_default_matmul_precision` says otherwise.
      memory: of one chip, in bytes.
      usable: bytes that the compiler lets programs use (v5p: more than the 95 that
        Google states).
      bandwidth: of that memory, in bytes a second.
      link: bytes a second that a chip sends over one link.
      slices: common shapes, from one host (or chip) to 256 chips.
      clock: cycles a second, if known.
      devices: that JAX sees in a chip, each with its share of all of the above.
    """

    name: str
    accelerator: str
    peak: float
    memory: float
    usable: float
    bandwidth: float
    link: float
    slices: tuple[str, ...]
    clock: float | None
    devices: int = 1


CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            name="v4",
            accelerator="v4-8",
            peak=275e12,
            memory=32 * GIB,
            usable=30.75 * GIB,
            bandwidth=1200e9,
            link=45e9,
            slices=_CUBE,
            clock=1.05e9,
        ),
        Chip(
            name="v5e",
            accelerator="v5litepod-4",
            peak=197e12,
            memory=16 * GIB,
            usable=15.75 * GIB,
            bandwidth=819e9,
            link=45e9,
            slices=_PLANE,
            clock=1.5e9,
        ),
        Chip(
            name="v5p",
            accelerator="v5p-8",
            peak=459e12,
            memory=95 * GIB,
            usable=95.73 * GIB,
            bandwidth=2765e9,
            link=90e9,
            slices=_CUBE,
            clock=1.75e9,
        ),
        Chip(
            name="v6e",
            accelerator="v6e-4",
            peak=918e12,
            memory=32 * GIB,
            usable=31.24 * GIB,
            bandwidth=1638e9,
            link=90e9,
            slices=_PLANE,
            clock=1.75e9,
        ),
        Chip(
            name="tpu7x",
            accelerator="tpu7x-8",
            peak=2307e12,
            memory=192 * GIB,
            usable=2 * 94.74 * GIB,
            bandwidth=7380e9,
            link=100e9,
            slices=_CUBE,
            clock=None,
            devices=2,
        ),
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
    def parse(cls, name: str) -> "Slice | None":
        """Reads a name such as v5e:4x4; None if there is no such slice."""
        kind, _, shape = name.partition(":")
        chip = CHIPS.get(kind)
        if not chip or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
            return None
        sizes = tuple(int(size) for size in shape.split("x"))
        if len(sizes) != chip.slices[0].count("x") + 1:
            return None
        return cls(chip, sizes)

    @property
    def name(self) -> str:
        """Such as v5e:4x4."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def nodes(self) -> int:
        """The number of chips."""
        return math.prod(self.shape)

    @property
    def count(self) -> int:
        """The number of devices."""
        return self.nodes * self.chip.devices

    @property
    def memory(self) -> float:
        """Of a device, in bytes."""
        return self.chip.memory / self.chip.devices

    @property
    def usable(self) -> float:
        """Bytes that a program may use on a device."""
        return self.chip.usable / self.chip.devices

    @property
    def bandwidth(self) -> float:
        """Bytes a second of a device's memory."""
        return self.chip.bandwidth / self.chip.devices

    @property
    def clock(self) -> float | None:
        """Cycles a second, if known."""
        return self.chip.clock

    def peak(self, dtype: str) -> float:
        """Operations a second of a device; the same for all types, see `Chip`."""
        del dtype
        return self.chip.peak / self.chip.devices

    @property
    def link(self) -> float:
        """Bytes a second that a chip sends over one link."""
        return self.chip.link

    @property
    def links(self) -> int:
        """Links to other chips of the slice that every chip has at least.

        Slices of 4x4x4 cubes (v4, v5p, TPU7x), and directions that are 16 long (v5e,
        v6e), wrap around; elsewhere the corners have one link in each direction.
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

    def family(self) -> list["Slice"]:
        """The common slices of such chips."""
        names = (f"{self.chip.name}:{shape}" for shape in self.chip.slices)
        return [found for name in names if (found := Slice.parse(name))]


def refused(where: Slice) -> UserError:
    """Returns the error for a shape that libtpu does not know."""
    return UserError(
        f"libtpu knows no slice {where.name!r}; common ones are"
        f" {', '.join(s.name for s in where.family())}."
    )
