"""A scene as a list of flat shapes: the camera and the pencil of `streets`.

The world is in metres: x to the right, y up from the ground, z ahead. Shapes are in
the unit square, y down, so a scene does not depend on the rendered size.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from cyclegan_jax.data.palettes import CITYSCAPES
from cyclegan_jax.data.streets.looks import Look

ROAD, SIDEWALK, BUILDING, POLE, SIGN, VEGETATION, SKY, PERSON, CAR = (
    CITYSCAPES.names.index(name)
    for name in (
        *("road", "sidewalk", "building", "pole", "traffic sign"),
        *("vegetation", "sky", "person", "car"),
    )
)
NEAR = 1.5  # Metres; what is nearer is moved onto this plane.
_HAZE_METRES = 260.0

Colour = tuple[float, float, float]
Point = tuple[float, float, float]


class Shape(NamedTuple):
    """One flat shape of a scene.

    Attributes:
        points: Corners in the unit square; of an ellipse, two of its bounding box.
        colour: Red, green, blue, which Pillow clips to 0..255, and perhaps alpha.
        label: The class it belongs to; None paints on top of what is there.
        ellipse: Whether it is an ellipse, else a polygon.
    """

    points: list[tuple[float, float]]
    colour: tuple[int, ...]
    label: int | None
    ellipse: bool


@dataclasses.dataclass(frozen=True)
class Camera:
    """A level pinhole camera at (x, height, 0) that looks along z.

    Attributes:
        x: Its place across the street, metres.
        height: Its height above the ground, metres.
        focal: The focal length in image widths.
        centre: The vanishing point's x in the image, 0..1.
        horizon: The horizon's y in the image, 0..1.
    """

    x: float
    height: float
    focal: float
    centre: float
    horizon: float

    def project(self, point: Point) -> tuple[float, float]:
        """Maps a point of the world to the unit square."""
        x, y, z = point
        scale = self.focal / (z if z > NEAR else NEAR)
        return (
            self.centre + scale * (x - self.x),
            self.horizon + scale * (self.height - y),
        )


@dataclasses.dataclass(frozen=True)
class Light:
    """The time of day.

    Attributes:
        sky_top, sky_low: The sky's colours overhead and at the horizon.
        tint: What light and exposure do to every colour: factors of red, green, blue.
        clouds: How much of the sky they cover, 0..1.
        sun: Where the sun stands: -1 on the left, 1 on the right.
        contrast: How much darker the side away from the sun is, 0..1.
    """

    sky_top: Colour
    sky_low: Colour
    tint: Colour
    clouds: float
    sun: int
    contrast: float


class Sketch:
    """Collects shapes, projected and faded with distance, from back to front."""

    def __init__(self, look: Look, camera: Camera, light: Light):
        self.look = look
        self.camera = camera
        self.light = light
        self.shapes: list[Shape] = []

    def polygon(
        self,
        points: list[Point],
        colour: Colour,
        label: int | None = None,
        alpha: int | None = None,
    ) -> None:
        """Adds a polygon by its corners in the world; the first one sets the haze."""
        project = self.camera.project
        faded = self._through_air(colour, points[0][2], alpha)
        self.shapes.append(Shape([project(p) for p in points], faded, label, False))

    def floor(
        self,
        across: tuple[float, float],
        along: tuple[float, float],
        colour: Colour,
        label: int | None = None,
        alpha: int | None = None,
    ) -> None:
        """Adds a rectangle on the ground, from x to x and from z to z."""
        (x0, x1), (z0, z1) = across, along
        corners = [(x0, 0.0, z0), (x0, 0.0, z1), (x1, 0.0, z1), (x1, 0.0, z0)]
        self.polygon(corners, colour, label, alpha)

    def panel(
        self,
        z: float,
        points: list[tuple[float, float]],
        colour: Colour,
        label: int | None = None,
    ) -> None:
        """Adds a polygon that faces the camera at depth z, its corners (x, y)."""
        self.polygon([(x, y, z) for x, y in points], colour, label)

    def box(
        self,
        z: float,
        across: tuple[float, float],
        up: tuple[float, float],
        colour: Colour,
        label: int | None = None,
    ) -> None:
        """Adds a rectangle that faces the camera at depth z."""
        (x0, x1), (y0, y1) = across, up
        corners = [(x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z)]
        self.polygon(corners, colour, label)

    def disc(
        self,
        centre: Point,
        radii: tuple[float, float],
        colour: Colour,
        label: int | None = None,
        alpha: int | None = None,
    ) -> None:
        """Adds an upright ellipse, its radii across and up in metres."""
        u, v = self.camera.project(centre)
        scale = self.camera.focal / max(centre[2], NEAR)
        du, dv = scale * radii[0], scale * radii[1]
        faded = self._through_air(colour, centre[2], alpha)
        box = [(u - du, v - dv), (u + du, v + dv)]
        self.shapes.append(Shape(box, faded, label, True))

    def shadow(self, centre: Point, radii: tuple[float, float]) -> None:
        """Darkens an ellipse on the ground, its radii across and along in metres."""
        x, _, z = centre
        u, v0 = self.camera.project((x, 0.0, z + radii[1]))
        _, v1 = self.camera.project((x, 0.0, max(z - radii[1], NEAR)))
        du = self.camera.focal / max(z, NEAR) * radii[0]
        alpha = int(40 + 80 * self.light.contrast)
        box = [(u - du, v0), (u + du, v1)]
        self.shapes.append(Shape(box, (20, 22, 30, alpha), None, True))

    def size_of(self, metres: float, z: float) -> float:
        """How large something at depth z looks, in image widths."""
        return self.camera.focal * metres / max(z, NEAR)

    def sees(self, x: float, z: float, radius: float) -> bool:
        """Whether something at (x, z) may reach into the picture's width."""
        u, _ = self.camera.project((x, 0.0, z))
        return abs(u - 0.5) < 0.5 + self.size_of(radius, z)

    def _through_air(
        self, colour: Colour, z: float, alpha: int | None
    ) -> tuple[int, ...]:
        clear = math.exp(-z / _HAZE_METRES)
        air = 1 - clear
        (red, green, blue), haze = colour, self.light.sky_low
        mixed = (
            int(red * clear + haze[0] * air),
            int(green * clear + haze[1] * air),
            int(blue * clear + haze[2] * air),
        )
        return mixed if alpha is None else (*mixed, alpha)


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def varied(rng: np.random.Generator, colours: tuple, spread: float) -> Colour:
    """One of the colours, a little off in each channel and in brightness."""
    base = colours[rng.integers(len(colours))]
    red, green, blue = rng.normal(0.0, spread, 3) + rng.normal(0.0, 1.5 * spread)
    return (base[0] + red, base[1] + green, base[2] + blue)
