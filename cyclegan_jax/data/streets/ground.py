"""The ground of `streets` and what ends its view: all that is flat or far."""

from typing import NamedTuple

import numpy as np

from cyclegan_jax.data.streets.sketch import (
    BUILDING,
    NEAR,
    ROAD,
    SIDEWALK,
    VEGETATION,
    Sketch,
    shaded,
    varied,
)

_FAR = 90.0  # Metres: where the ground ends, behind the skyline.
_PAINT = (226, 226, 220)


class Street(NamedTuple):
    """The widths of a street in metres.

    Attributes:
        road: Half of the road.
        pavement: One pavement.
        edge: Both together: from the middle to where the houses may begin.
    """

    road: float
    pavement: float
    edge: float


def skyline(sketch: Sketch, rng: np.random.Generator) -> None:
    """Far houses and trees across the whole view."""
    x, z = -60.0, _FAR - 10
    wooded = rng.random() < 0.5
    while x < 60.0:
        width, height = rng.uniform(7, 16), rng.uniform(5, 12)
        if wooded:
            radius = width / 2
            green = shaded(varied(rng, sketch.look.leaves, 6.0), 0.85)
            for place in (x, x + radius, x + 2 * radius):
                size = (radius * 0.9, radius * rng.uniform(0.8, 1.1))
                sketch.disc((place, 2.0, z), size, green, VEGETATION)
        else:
            wall = shaded(varied(rng, sketch.look.walls, 7.0), 0.85)
            sketch.box(z, (x, x + width), (0.0, height), wall, BUILDING)
        x += width * rng.uniform(0.8, 1.3)


def ground(
    sketch: Sketch, rng: np.random.Generator, street: Street, kinds: list[str]
) -> None:
    """The road, the pavements, and the ground beyond them."""
    look = sketch.look
    paving, asphalt = varied(rng, look.paving, 5.0), varied(rng, look.asphalt, 4.0)
    joint, road, edge = shaded(paving, 0.8), street.road, street.edge
    for side, kind in zip((-1, 1), kinds, strict=True):
        if kind != "row":
            green = varied(rng, sketch.look.hedges, 7.0)
            sketch.floor((0, side * 200), (NEAR, _FAR), green, VEGETATION)
        paved = 200 if kind == "row" else edge
        sketch.floor((side * road, side * paved), (NEAR, _FAR), paving, SIDEWALK)
        for z in np.arange(3.0, 27.0, 1.5).tolist():
            sketch.floor((side * road, side * edge), (z, z + 0.1), joint)
        middle = side * (road + street.pavement / 2)
        sketch.floor((middle - 0.05, middle + 0.05), (NEAR, 40.0), joint)
    sketch.floor((-road, road), (NEAR, _FAR), asphalt, ROAD)
    for side in (-1, 1):
        curb, gutter = (
            (side * road, side * (road + 0.25)),
            (side * (road - 0.5), side * road),
        )
        sketch.floor(curb, (NEAR, _FAR), shaded(paving, 1.18))
        sketch.floor(gutter, (NEAR, _FAR), shaded(asphalt, 0.88))
    for _ in range(rng.integers(0, 4)):  # Mended asphalt.
        x, z = rng.uniform(-road, road - 2.5), rng.uniform(4, 20)
        wide, long, tone = rng.uniform((0.8, 1, 0.88), (2.5, 6, 1.1)).tolist()
        sketch.floor((x, x + wide), (z, z + long), shaded(asphalt, tone))


def markings(sketch: Sketch, rng: np.random.Generator, street: Street) -> None:
    """The dashes in the middle of the road and perhaps a crossing."""
    for z in np.arange(rng.uniform(-4, 2), 70.0, 6.0).tolist():
        sketch.floor((-0.1, 0.1), (z, z + 3), _PAINT)
    if rng.random() < 0.3:
        z = rng.uniform(7, 14)
        for x in np.arange(0.5 - street.road, street.road - 0.5, 1.1).tolist():
            sketch.floor((x, x + 0.55), (z, z + 3), _PAINT)


def house_shadow(
    sketch: Sketch, rng: np.random.Generator, street: Street, kinds: list[str]
) -> None:
    """The houses towards the sun darken their pavement."""
    sun = sketch.light.sun
    reach = sun * (street.edge - rng.uniform(0.5, 1.3) * street.pavement)
    if sketch.light.contrast > 0.5 and kinds[int(sun > 0)] == "row":
        across = (reach, sun * (street.edge + 9))
        sketch.floor(across, (NEAR, _FAR), (40, 42, 54), alpha=64)
