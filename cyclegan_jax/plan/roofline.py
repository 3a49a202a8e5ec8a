"""The time that published speeds allow: no program can be faster.

Roofline model (Williams, Waterman and Patterson, CACM 52(4), 2009), with the averaging
over devices as a third ceiling.
"""

import dataclasses

from cyclegan_jax.plan.cards import Cards
from cyclegan_jax.plan.chips import Slice


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Least seconds that parts of a step take on each device, by what limits them.

    Attributes:
      compute: the operations, at the peak.
      memory: reading and writing main memory.
      collectives: averaging over all devices.
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
        """Least seconds of what a device does by itself."""
        return max(self.compute, self.memory)

    @property
    def efficiency(self) -> float:
        """Weak scaling: images a second and device, relative to a device by itself.

        With nothing overlapping the collectives, for a step at its least time. (A
        slower step hides their share: then it is nearer to 1.)
        """
        return self.local / (self.local + self.collectives)

    @property
    def limit(self) -> str:
        """Name of the part that takes longest."""
        names = [field.name for field in dataclasses.fields(self)]
        return max(names, key=lambda name: getattr(self, name))


def bounds(
    where: Slice | Cards, dtype: str, *, flops: float, moved: float, collective: float
) -> Bounds:
    """Returns the least times of a step.

    Args:
      where: the devices.
      dtype: of the convolutions.
      flops: operations of one device.
      moved: bytes that one device reads and writes in its main memory.
      collective: bytes that are averaged over all devices (an all-reduce).
    """
    return Bounds(
        compute=flops / where.peak(dtype),
        memory=moved / where.bandwidth,
        collectives=all_reduce_seconds(where, collective),
    )


def all_reduce_seconds(where: Slice | Cards, size: float) -> float:
    """Returns the least seconds of an all-reduce of `size` bytes.

    Every one of n chips or cards has to send 2 (n - 1) / n of them: a share of its own
    numbers to each other that sums them, and the sums that it made to all others. The
    one with the fewest links takes longest.
    """
    if where.nodes == 1:
        return 0.0
    sent = 2 * (where.nodes - 1) / where.nodes * size
    return sent / (where.links * where.link)
