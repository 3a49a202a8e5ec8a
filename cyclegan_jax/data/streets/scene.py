"""How a street of `streets` is laid out: from random numbers to shapes."""

from typing import NamedTuple

import numpy as np

from cyclegan_jax.data.streets import ground, things
from cyclegan_jax.data.streets.ground import Street
from cyclegan_jax.data.streets.houses import building
from cyclegan_jax.data.streets.looks import Look
from cyclegan_jax.data.streets.sketch import Camera, Light, Shape, Sketch, shaded


class Scene(NamedTuple):
    """One street.

    Attributes:
        light: Its hour and weather.
        horizon: The y of the horizon in the unit square.
        shapes: What stands before the sky, from back to front.
    """

    light: Light
    horizon: float
    shapes: list[Shape]


def make_scene(look: Look, rng: np.random.Generator) -> Scene:
    """Draws one street scene.

    Args:
        look: Of the city.
        rng: Its random numbers; equal states give equal scenes.

    Returns:
        The scene, in coordinates of the unit square.
    """
    top, low, tint, contrast = look.hours[rng.integers(len(look.hours))]
    sun = -1 if rng.random() < 0.5 else 1
    exposed = shaded(tint, rng.uniform(0.9, 1.08))
    light = Light(top, low, exposed, rng.uniform(0.1, 0.8), sun, contrast)
    road, pavement = rng.uniform(*look.road), rng.uniform(*look.pavement)
    street = Street(road, pavement, road + pavement)
    camera = Camera(
        x=rng.uniform(*look.across) * road,
        height=rng.uniform(*look.height),
        focal=rng.uniform(0.85, 1.05),
        centre=rng.uniform(*look.centre),
        horizon=rng.uniform(*look.horizon),
    )
    sketch = Sketch(look, camera, light)
    kinds = [("row", "row", "houses", "park")[k] for k in rng.integers(4, size=2)]
    ground.skyline(sketch, rng)
    ground.ground(sketch, rng, street, kinds)
    ground.markings(sketch, rng, street)
    ground.house_shadow(sketch, rng, street, kinds)
    standing = _traffic(rng, street)  # (z, draw, *arguments) of each thing.
    for side, kind in zip((-1, 1), kinds, strict=True):
        _houses(sketch, rng, street, side, kind)
        standing += _greenery(rng, street, side, kind) + _people(rng, street, side)
    for _, draw, *arguments in sorted(standing, key=lambda thing: -thing[0]):
        draw(sketch, rng, *arguments)
    return Scene(light, camera.horizon, sketch.shapes)


def _houses(
    sketch: Sketch, rng: np.random.Generator, street: Street, side: int, kind: str
) -> None:
    """One side's houses, drawn from the far end; a park has none."""
    if kind == "park":
        return
    # Distance from the pavement, height of the walls, gaps; how many are gabled.
    back, heights, gaps, gabled = {
        "row": ((0, 2), (6, 13), (0, 5), 0.3),
        "houses": ((4, 7), (4, 6.5), (4, 9), 0.8),
    }[kind]
    front, z, places = street.edge + rng.uniform(*back), rng.uniform(5, 10), []
    while z < 70:
        length = rng.uniform(8, 17)
        places.append((side * (front + rng.uniform(0, 0.8)), z, z + length))
        z += length + (rng.uniform(*gaps) if rng.random() < 0.5 else gaps[0])
    for place in reversed(places):
        pitched = bool(rng.random() < gabled)
        building(sketch, rng, side, place, rng.uniform(*heights), pitched)


def _greenery(
    rng: np.random.Generator, street: Street, side: int, kind: str
) -> list[tuple]:
    """One side's trees and bushes, each at its depth."""
    # Distance from the road, distance between trees, heights.
    away, spacing, heights = {
        "row": ((0.8, 1.3), (15, 28), (4.5, 7)),
        "houses": ((street.pavement + 1, street.pavement + 3), (14, 24), (4, 8)),
        "park": ((street.pavement + 2, street.pavement + 11), (9, 15), (5, 9)),
    }[kind]
    line = rng.uniform(*away)
    trees = []
    for z in np.arange(rng.uniform(11, 22), 50, rng.uniform(*spacing)).tolist():
        x = street.road + (rng.uniform(*away) if kind == "park" else line)
        trees.append((z, things.tree, side * x, z, rng.uniform(*heights)))
    if kind != "row":
        for z in rng.uniform(10, 30, rng.integers(0, 3)).tolist():
            x = street.edge + rng.uniform(0.8, 2.5)
            trees.append((z, things.tree, side * x, z, rng.uniform(1.1, 2.0)))
    if kind == "park":
        for z in np.arange(45, 80, 5.0).tolist():
            x = street.edge + rng.uniform(4, 26)
            trees.append((z, things.tree, side * x, z, rng.uniform(6, 11)))
    return trees


def _people(rng: np.random.Generator, street: Street, side: int) -> list[tuple]:
    """Who and what stands on one pavement, each at its depth."""
    standing: list[tuple] = []
    if rng.random() < 0.5:
        z = rng.uniform(14, 24)
        standing.append((z, things.lamp, side * (street.road + 0.5), z))
    if rng.random() < 0.3:
        z = rng.uniform(12, 18)
        standing.append((z, things.sign, side * (street.road + 0.6), z))
    for z in rng.uniform(11, 20, rng.integers(0, 4)).tolist():
        x = rng.uniform(street.road + 0.7, street.edge - 0.4)
        standing.append((z, things.person, side * x, z))
    return standing


def _traffic(rng: np.random.Generator, street: Street) -> list[tuple]:
    """Moving and parked cars and perhaps somebody who crosses, each at its depth."""
    standing: list[tuple] = []
    for side in (-1, 1):
        z = rng.uniform(7, 24)
        while z < 40:
            standing.append((z, things.car, side * street.road * 0.32, z, side < 0))
            z += rng.uniform(16, 50)
        if rng.random() < 0.2:
            x = side * (street.road - 1.1)
            for z in np.arange(rng.uniform(8, 18), rng.uniform(20, 40), 6.3).tolist():
                standing.append((z, things.car, x, z, side < 0))
    if rng.random() < 0.4:
        x, z = rng.uniform(-0.8, 0.8) * street.road, rng.uniform(8, 18)
        standing.append((z, things.person, x, z))
    return standing
