"""What stands in the street of `streets`: trees, cars, people and posts."""

import math

import numpy as np

from cyclegan_jax.data.streets.sketch import (
    CAR,
    PERSON,
    POLE,
    SIGN,
    VEGETATION,
    Colour,
    Sketch,
    shaded,
    varied,
)

_TROUSERS = ((40, 44, 66), (62, 54, 50), (30, 30, 34), (90, 96, 120))
_SKIN = ((224, 180, 150), (190, 136, 104), (128, 88, 64))
_HAIR, _BARK, _TYRE = (58, 42, 34), (88, 66, 50), (20, 20, 22)
_GLASS, _BUMPER, _PLATE = (44, 52, 66), (46, 46, 50), (226, 226, 214)
_HEADLIGHT, _TAILLIGHT = (250, 244, 214), (206, 24, 26)


def tree(
    sketch: Sketch, rng: np.random.Generator, x: float, z: float, height: float
) -> None:
    """Adds a leafy tree; one lower than 2.5 m is a bush without a trunk."""
    if not sketch.sees(x, z, height / 2):
        return
    green = varied(rng, sketch.look.leaves, 8.0)
    radius = height * rng.uniform(0.27, 0.36)
    bush = height < 2.5
    y = height * 0.45 if bush else height - radius
    sketch.shadow((x - sketch.light.sun * radius * 0.7, 0.0, z), (radius, radius))
    if not bush:
        foot, neck = 0.03 * height, 0.018 * height
        trunk = [(x - foot, 0.0), (x - neck, y), (x + neck, y), (x + foot, 0.0)]
        sketch.panel(z, trunk, _BARK, VEGETATION)
    core = radius * 0.82
    sketch.disc((x, y, z), (core, core), shaded(green, 0.72), VEGETATION)
    turn = rng.uniform(0, 2 * math.pi)
    for k in range(7):
        angle = turn + k * 2 * math.pi / 7
        across, up = 0.55 * math.cos(angle), 0.5 * math.sin(angle)
        dark = shaded(green, 0.74 + 0.2 * up)
        lobe = (x + radius * across, y + radius * up, z)
        sketch.disc(lobe, (radius / 2, radius / 2), dark, VEGETATION)
    _leaves(sketch, rng, (x, y, z), radius, green)


def _leaves(
    sketch: Sketch,
    rng: np.random.Generator,
    centre: tuple[float, float, float],
    radius: float,
    green: Colour,
) -> None:
    """Tufts inside the crown, lightest where the sun comes from."""
    x, y, z = centre
    count = int(np.clip(sketch.size_of(radius, z) * 300, 4, 42))
    angles = rng.uniform(0, 2 * math.pi, count)
    far = np.sqrt(rng.random(count)) * 0.84
    across, up = far * np.cos(angles), far * np.sin(angles)
    light = 0.92 + 0.26 * up + 0.15 * sketch.light.sun * across
    light += rng.normal(0.0, 0.13, count)
    sizes = radius * rng.uniform(0.09, 0.2, count)
    table = np.stack([x + radius * across, y + radius * up, light, sizes], 1)
    for tuft_x, tuft_y, gain, size in table.tolist():
        sketch.disc((tuft_x, tuft_y, z), (size * 1.2, size), shaded(green, gain))


def car(
    sketch: Sketch, rng: np.random.Generator, x: float, z: float, oncoming: bool
) -> None:
    """Adds a car seen from behind, or from the front when it is oncoming."""
    paint = varied(rng, sketch.look.paints, 8.0)
    tall = rng.uniform(1.4, 1.75)
    half, long = rng.uniform(0.86, 0.98), rng.uniform(3.9, 4.6)
    left, right = x - half, x + half
    hood = 1.1 if oncoming else 0.15  # Metres before the near window.
    roof0, roof1 = hood + 0.55, long - (0.6 if oncoming else 1.7)
    sketch.shadow((x, 0.0, z + long / 2), (half * 1.25, long * 0.62))
    _flank(sketch, x, half, z, paint, (hood, roof0, roof1, long, tall))

    def across(near, far, insets, colour, label=None):
        (y0, dz0), (y1, dz1), (inset0, inset1) = near, far, insets
        corners = [(left + inset0, y0, z + dz0), (left + inset1, y1, z + dz1)]
        corners += [(right - inset1, y1, z + dz1), (right - inset0, y0, z + dz0)]
        sketch.polygon(corners, colour, label)

    across((tall, roof0), (tall, roof1), (0.14, 0.14), shaded(paint, 1.12), CAR)
    for edge in (left, right - 0.24):
        sketch.box(z, (edge, edge + 0.24), (0.0, 0.4), _TYRE, CAR)
    across((0.9, 0), (0.98, hood), (0.0, 0.04), shaded(paint, 1.1), CAR)
    across((0.98, hood), (tall, roof0), (0.04, 0.16), shaded(paint, 0.9), CAR)
    across((1.02, hood), (tall - 0.08, roof0), (0.14, 0.24), _GLASS)
    sketch.box(z, (left, right), (0.25, 0.9), shaded(paint, 0.86), CAR)
    sketch.box(z, (left, right), (0.25, 0.4), _BUMPER)
    sketch.box(z, (x - 0.28, x + 0.28), (0.44, 0.58), _PLATE)
    for edge in (left + 0.05, right - 0.4):
        light = _HEADLIGHT if oncoming else _TAILLIGHT
        sketch.box(z, (edge, edge + 0.35), (0.62, 0.82), light)


def _flank(
    sketch: Sketch, x: float, half: float, z: float, paint: Colour, shape: tuple
) -> None:
    """The side of a car that can be seen, with its windows and wheels."""
    hood, roof0, roof1, long, tall = shape
    way = -1 if x > sketch.camera.x else 1
    side = x + way * half
    lit = 1.0 if way == sketch.light.sun else 0.72

    def draw(points, colour, label=None):
        sketch.polygon([(side, y, z + dz) for dz, y in points], colour, label)

    body = [(0.0, 0.28), (0.0, 0.9), (hood, 0.98), (roof0, tall), (roof1, tall)]
    body += [(roof1 + 0.6, 0.98), (long, 0.85), (long, 0.28)]
    draw(body, shaded(paint, lit), CAR)
    panes = [(hood + 0.15, 1.0), (roof0 + 0.1, tall - 0.12)]
    panes += [(roof1 - 0.05, tall - 0.12), (roof1 + 0.4, 1.0)]
    draw(panes, _GLASS)
    turns = [2 * math.pi * k / 10 for k in range(10)]
    for axle in (0.75, long - 0.8):
        rim = [(axle + 0.33 * math.cos(t), 0.33 + 0.33 * math.sin(t)) for t in turns]
        draw(rim, _TYRE, CAR)


def person(sketch: Sketch, rng: np.random.Generator, x: float, z: float) -> None:
    """Adds somebody walking."""
    scale, stride = rng.uniform(0.95, 1.15), rng.uniform(0.08, 0.24)
    coat, legs = varied(rng, sketch.look.coats, 8.0), varied(rng, _TROUSERS, 5.0)
    skin = varied(rng, _SKIN, 5.0)
    sketch.shadow((x, 0.0, z), (0.45, 0.35))

    def part(points, colour):
        placed = [(x + across * scale, up * scale) for across, up in points]
        sketch.panel(z, placed, colour, PERSON)

    for way in (-1, 1):
        foot = way * stride
        leg = [(way * 0.2, 0.9), (foot + 0.1, 0.0), (foot - 0.1, 0.0), (0.0, 0.9)]
        part(leg, shaded(legs, 1.0 if way > 0 else 0.8))
        arm = [(0.26, 1.42), (0.4, 0.85), (0.28, 0.82), (0.16, 1.3)]
        part([(way * across, up) for across, up in arm], shaded(coat, 0.8))
    part([(-0.27, 1.42), (-0.22, 0.82), (0.22, 0.82), (0.27, 1.42), (0, 1.5)], coat)
    for y, radii, colour in (1.62, (0.14, 0.17), skin), (1.7, (0.15, 0.1), _HAIR):
        size = radii[0] * scale, radii[1] * scale
        sketch.disc((x, y * scale, z), size, colour, PERSON)


def lamp(sketch: Sketch, rng: np.random.Generator, x: float, z: float) -> None:
    """Adds a street lamp whose arm reaches over the road."""
    height = rng.uniform(5.5, 7.0)
    grey = varied(rng, ((96, 98, 104), (70, 74, 78)), 4.0)
    end = x - math.copysign(1.5, x)
    sketch.box(z, (x - 0.11, x + 0.11), (0.0, height), grey, POLE)
    arm = [(x, height), (end, height + 0.3), (end, height), (x, height - 0.25)]
    sketch.panel(z, arm, grey, POLE)
    sketch.disc((end, height + 0.1, z), (0.4, 0.16), (236, 232, 214), POLE)


def sign(sketch: Sketch, rng: np.random.Generator, x: float, z: float) -> None:
    """Adds a traffic sign on its post."""
    y, kind = rng.uniform(2.4, 2.8), rng.integers(3)
    sketch.box(z, (x - 0.07, x + 0.07), (0.0, y), (128, 130, 134), POLE)
    if kind == 0:  # A speed limit.
        sketch.disc((x, y, z), (0.48, 0.48), (206, 24, 32), SIGN)
        sketch.disc((x, y, z), (0.3, 0.3), (244, 244, 240))
    elif kind == 1:  # Parking.
        square = (x - 0.45, x + 0.45), (y - 0.45, y + 0.45)
        sketch.box(z, *square, (26, 84, 190), SIGN)
        sketch.disc((x, y, z), (0.2, 0.26), (240, 240, 244))
    else:  # Right of way.
        for size, colour in ((0.56, (244, 244, 238)), (0.4, (246, 196, 20))):
            corners = [(x - size, y), (x, y + size), (x + size, y), (x, y - size)]
            sketch.panel(z, corners, colour, SIGN)
