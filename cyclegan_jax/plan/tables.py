"""Formats the planned settings as text tables."""

import dataclasses
from collections.abc import Sequence

from cyclegan_jax.plan.cards import Cards
from cyclegan_jax.plan.chips import GIB, Slice
from cyclegan_jax.plan.cost import Cost
from cyclegan_jax.plan.roofline import Bounds, bounds

_LAYERS = 20  # The rest is small.


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to run the step, and what it costs each device.

    Attributes:
      per_device: images of each domain on a device, in a step.
      remat: whether residual blocks are computed again in the backward pass.
      cost: of the step.
      dtype: of its convolutions.
    """

    per_device: int
    remat: bool
    cost: Cost
    dtype: str = "bfloat16"

    def bounds(self, where: Slice | Cards) -> Bounds:
        """The least times on a slice or on cards."""
        cost = self.cost
        return bounds(
            where,
            self.dtype,
            flops=cost.flops,
            moved=cost.moved,
            collective=cost.collective,
        )


def name(per_device: int, remat: bool) -> str:
    """A setting in a few words."""
    return f"batch {per_device}{', remat' if remat else ''}"


def counts(settings: Sequence[Setting], memory: float, usable: float) -> str:
    """What each setting needs of a device.

    Args:
      settings: the rows.
      memory: bytes that a device has.
      usable: bytes of it that a program may use.
    """
    rows: list[tuple] = [
        ("batch", "remat", "GiB held", "of memory", "GFLOP", "MB moved", "MB averaged")
    ]
    for s in settings:
        c = s.cost
        if c.fits:
            share = f"{c.memory / memory:.0%}"
            if c.memory > usable:
                share += ", too much"
            work = (f"{c.flops / 1e9:,.2f}", f"{c.moved / 1e6:,.1f}")
            rest = (share, *work, f"{c.collective / 1e6:.1f}")
        else:
            rest = ("does not fit", "", "", "")
        rows.append((s.per_device, _yes(s.remat), f"{c.memory / GIB:.2f}", *rest))
    return align(rows)


def times(settings: Sequence[Setting], where: Slice | Cards) -> str:
    """The least times of each setting that fits, and the most images a second."""
    rows: list[tuple] = [
        ("batch", "remat", "compute", "memory", "averaging", "step", "by", "images/s")
    ]
    for s in settings:
        if s.cost.fits:
            b = s.bounds(where)
            parts = (b.compute, b.memory, b.collectives, b.step)
            shown = (f"{1e3 * seconds:.3f} ms" for seconds in parts)
            rate = f"{s.per_device * where.count / b.step:,.0f}"
            rows.append((s.per_device, _yes(s.remat), *shown, b.limit, rate))
    return align(rows)


def scaling(settings: Sequence[Setting], where: Slice | Cards) -> str:
    """Weak scaling of each setting that fits over numbers of such devices."""
    shown = [s for s in settings if s.cost.fits]
    heads = [f"{s.per_device}{' remat' if s.remat else ''}" for s in shown]
    rows: list[tuple] = [("", "devices", *heads)]
    for other in where.family():
        cells = []
        for s in shown:
            b = s.bounds(other)
            rate = s.per_device * other.count / (b.local + b.collectives)
            cells.append(f"{rate:,.0f} ({b.efficiency:.1%})")
        rows.append((other.name, other.count, *cells))
    return align(rows)


def estimate(cost: Cost, clock: float | None) -> str:
    """Says what XLA's estimate of a step for a TPU is.

    Args:
      cost: of the step.
      clock: cycles a second, if known.
    """
    time = f", {1e3 * cost.cycles / clock:.3f} ms at {clock / 1e9} GHz" if clock else ""
    return (
        f"the compiler estimates {cost.cycles / 1e6:.2f} M cycles{time}, if units run"
        "\none after the other; it has not run. Source lines with most of them:"
    )


def dearest(cost: Cost) -> str:
    """The source lines that take most of the estimated cycles."""
    rows = [("M cycles", "share", "units", "line", "layer and operation")]
    for line, what, cycles, units in cost.dearest:
        share = f"{cycles / cost.cycles:.1%}"
        rows.append((f"{cycles / 1e6:.3f}", share, units, line, what))
    return align(rows)


def layers(cost: Cost) -> str:
    """What the layers take, of cycles or of what is moved, by what it goes to."""
    unit = "M cycles" if cost.cycles else "MB moved"
    rows = [(unit, "share", "convolutions", "norms", "rest", "units", "layer")]
    parts = [sum(row[number] for row in cost.layers) for number in (1, 2, 3, 4)]
    for layer, *spent, units in [["all", *parts], *cost.layers[:_LAYERS]]:
        share = f"{sum(spent) / max(sum(parts[:3]), 1):.1%}"
        values = [f"{value / 1e6:,.3f}" for value in (sum(spent), *spent)]
        rows.append((values[0], share, *values[1:], units, layer))
    return align(rows)


def kinds(cost: Cost) -> str:
    """What kinds of kernels move most, and the windows of convolutions."""
    total = sum(count for _, _, count in cost.kinds)
    rows = [("MB", "share", "kernels", "kind")]
    rows.append((f"{cost.moved / 1e6:,.0f}", "100%", total, "all"))
    for kind, moved, count in cost.kinds[:12]:
        share = f"{moved / max(cost.moved, 1):.0%}"
        rows.append((f"{moved / 1e6:,.0f}", share, count, kind))
    windows = ", ".join(f"{count} of {sides}" for sides, count in cost.windows)
    reduces = f"{cost.collectives} of {cost.collective / 1e6:.1f} MB in all"
    return f"{align(rows)}\n\nWindows: {windows}\nCollectives: {reduces}"


def largest_batch(settings: Sequence[Setting], usable: float) -> int | None:
    """Derives the largest batch that fits a device; None if no setting does.

    Extrapolates memory linearly from the two largest batches that fit, or, given only
    one, from the memory without its temporary arrays (batch 0). The result is smaller
    than every batch that did not fit.
    """
    fitting = sorted(
        ((s.per_device, s.cost) for s in settings if s.cost.fits),
        key=lambda pair: pair[0],
    )
    if not fitting:
        return None
    first = fitting[0][1]
    points = [(0, first.memory - first.temporary)]
    points += [(batch, cost.memory) for batch, cost in fitting]
    (small, low), (large, high) = points[-2:]
    each = (high - low) / (large - small)
    if each <= 0:  # Nothing to derive from.
        return large
    derived = int(large + (usable - high) / each)
    refused = [s.per_device for s in settings if not s.cost.fits]
    return min([derived, *(batch - 1 for batch in refused)])


def align(rows: Sequence[Sequence[object]]) -> str:
    """Lays out rows of cells as right-aligned columns, two spaces apart."""
    columns = zip(*rows, strict=True)
    widths = [max(len(str(cell)) for cell in column) for column in columns]
    return "\n".join(
        "  ".join(f"{cell!s:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _yes(value):
    return "yes" if value else "no"
