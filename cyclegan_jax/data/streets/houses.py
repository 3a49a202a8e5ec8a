"""The houses of `streets`: boxes with windows, shops and roofs."""

import numpy as np

from cyclegan_jax.data.streets.sketch import BUILDING, Colour, Sketch, shaded, varied

_GLASS = ((52, 62, 80), (70, 84, 106), (40, 46, 60))
_LIT_GLASS = (236, 206, 140)
_AWNINGS = ((170, 40, 44), (120, 40, 52), (214, 196, 160), (196, 120, 40))
_DEPTH = 10.0  # Metres from the street to the back of a house.


def building(
    sketch: Sketch,
    rng: np.random.Generator,
    side: int,
    place: tuple[float, float, float],
    height: float,
    pitched: bool,
) -> None:
    """Adds a house on one side of the street.

    Args:
        sketch: Where to add it.
        rng: The scene's random numbers.
        side: -1 on the left of the street, 1 on the right.
        place: x of its front, z where it begins and z where it ends, metres.
        height: Of the walls, metres.
        pitched: Whether the roof is a gable, else it is flat.
    """
    x, z0, z1 = place
    back = x + side * _DEPTH
    wall, roof = (
        varied(rng, sketch.look.walls, 7.0),
        varied(rng, sketch.look.roofs, 5.0),
    )
    dim = 1.0 - sketch.light.contrast * 0.45
    # A front on the right of the street looks left: a sun on the left lights it.
    lit = 1.06 if side != sketch.light.sun else dim
    gable_wall = shaded(wall, 0.5 + dim / 2)
    if pitched:
        middle, ridge = (x + back) / 2, height + _DEPTH * 0.3
        eaves = [(x, height, z0), (x, height, z1)]
        slope = [*eaves, (middle, ridge, z1), (middle, ridge, z0)]
        sketch.polygon(slope, shaded(roof, lit), BUILDING)
        gable = [(x, height), (middle, ridge), (back, height)]
        sketch.panel(z0, gable, gable_wall, BUILDING)
        chimney = (middle - 0.5, middle + 0.5), (ridge - 1, ridge + 1)
        sketch.box(z0 + 2, *chimney, shaded(wall, 0.7), BUILDING)
    _facade(sketch, rng, (x, z0, side, 0), (_DEPTH, height), gable_wall)
    _facade(sketch, rng, (x, z0, 0, 1), (z1 - z0, height), shaded(wall, lit))
    if not pitched:
        for x1, z2 in ((back, z0), (x, z1)):
            top = [(x, height + 0.3, z0), (x1, height + 0.3, z2)]
            low = [(x1, height - 0.3, z2), (x, height - 0.3, z0)]
            sketch.polygon(top + low, shaded(roof, lit), BUILDING)


def _facade(
    sketch: Sketch,
    rng: np.random.Generator,
    base: tuple[float, float, int, int],
    extent: tuple[float, float],
    wall: Colour,
) -> None:
    """A wall with storeys of windows, over a shop perhaps.

    Args:
        sketch: Where to add it.
        rng: The scene's random numbers.
        base: x and z of its near corner, then the direction along x and z.
        extent: Its length and height in metres.
        wall: Its colour.
    """
    x, z, dx, dz = base
    length, height = extent

    def quad(a0, a1, b0, b1, colour, label=None):
        x0, z0, x1, z1 = x + dx * a0, z + dz * a0, x + dx * a1, z + dz * a1
        corners = [(x0, b0, z0), (x0, b1, z0), (x1, b1, z1), (x1, b0, z1)]
        sketch.polygon(corners, colour, label)

    quad(0, length, 0, height, wall, BUILDING)
    storeys, bays = max(1, round(height / 3.1)), max(1, round(length / 3.4))
    storey, bay = height / storeys, length / bays
    glass, frame = varied(rng, _GLASS, 5.0), shaded(wall, 1.22)
    awning, shop = varied(rng, _AWNINGS, 6.0), rng.random() < 0.45 and storeys > 1
    lit = rng.random((storeys, bays)) < 0.12
    if shop:
        sill = 0.8 * storey
        quad(0.3, length - 0.3, 0.4, sill - 0.3, shaded(glass, 0.9))
        quad(0.2, length - 0.2, sill - 0.4, sill + 0.4, awning)
    for row in range(storeys):
        if row:
            quad(0, length, row * storey - 0.1, row * storey + 0.1, shaded(wall, 0.8))
    columns = [
        (column, sketch.size_of(1.6, z + dz * column * bay))
        for column in range(bays)
        if sketch.sees(x + dx * column * bay, z + dz * column * bay, bay)
    ]
    for row in range(int(shop), storeys):
        y0, y1 = (row + 0.3) * storey, (row + 0.8) * storey
        for column, looks in columns:
            if looks < 0.025:  # Too far away to be visible.
                break
            a0, a1 = (column + 0.26) * bay, (column + 0.74) * bay
            if looks > 0.06:
                quad(a0 - 0.2, a1 + 0.2, y0 - 0.25, y1 + 0.15, frame)
            quad(a0, a1, y0, y1, _LIT_GLASS if lit[row, column] else glass)
