"""The time that a chip's published speeds allow: no program can be faster.

Roofline model (Williams, Waterman and Patterson, CACM 52(4), 2009), with the averaging
over chips as a third ceiling.
"""

import dataclasses

from cyclegan_jax.plan.chips import Slice


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Least seconds that parts of a step take on each chip, by what limits them.

    Attributes:
      compute: the operations, at the peak.
      memory: reading and writing main memory.
      collectives: averaging over the slice.
    """

    compute: float
    memory: float
    collectives: float

    @property
    def step(self) -> float:
        """Least seconds of a step, if all parts overlap completely."""
        return max(self.local, self.collectives)

    @property
    def local(self) -> float:
        """Least seconds of what a chip does by itself."""
        return max(self.compute, self.memory)

    @property
    def efficiency(self) -> float:
        """Weak scaling: images a second and chip, relative to a chip by itself.

        With nothing overlapping the collectives, for a step at its least time. (A
        slower step hides their share: then it is nearer to 1.)
        """
        return self.local / (self.local + self.collectives)

    @property
    def limit(self) -> str:
        """Name of the part that takes longest."""
        names = [field.name for field in dataclasses.fields(self)]
        return max(names, key=lambda name: getattr(self, name))


def bounds(where: Slice, *, flops: float, moved: float, collective: float) -> Bounds:
    """Returns the least times of a step on a slice.

    Args:
      where: the slice.
      flops: operations of one chip.
      moved: bytes that one chip reads and writes in its main memory.
      collective: bytes that are averaged over all chips (an all-reduce).
    """
    return Bounds(
        compute=flops / where.chip.peak,
        memory=moved / where.chip.bandwidth,
        collectives=all_reduce_seconds(where, collective),
    )


def all_reduce_seconds(where: Slice, size: float) -> float:
    """Returns the least seconds of an all-reduce of `size` bytes.

    Every one of n chips has to send 2 (n - 1) / n of them: a share of its own numbers
    to each chip that sums them, and the sums that it made to all others. The chip with
    the fewest links takes longest.
    """
    if where.count == 1:
        return 0.0
    sent = 2 * (where.count - 1) / where.count * size
    return sent / (where.links * where.chip.link)
