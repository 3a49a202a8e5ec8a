"""From the shapes of a scene to pixels: its label map and its photograph."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cyclegan_jax.data.streets.scene import Scene
from cyclegan_jax.data.streets.sketch import (
    BUILDING,
    CAR,
    PERSON,
    ROAD,
    SIDEWALK,
    SKY,
    VEGETATION,
)

# Odd, so that every pixel's centre is one sample of the finer canvas.
_SAMPLES = 3
_SKY_SIZE = 96  # Skies are smooth: a small one, enlarged, is as good.
# How strongly brightness varies inside a class: coarse patches, fine grain.
_TEXTURE = np.zeros((19, 2), np.float32)
_TEXTURE[[ROAD, SIDEWALK, BUILDING]] = (0.05, 0.04), (0.05, 0.04), (0.05, 0.04)
_TEXTURE[VEGETATION] = 0.08, 0.13
_TEXTURE[[CAR, PERSON]] = (0.03, 0.03), (0.03, 0.05)


def class_map(scene: Scene, size: int) -> np.ndarray:
    """Renders the classes at the pixels' centres: uint8 [size, size]."""
    side = size * _SAMPLES
    canvas = Image.new("L", (side, side), SKY)
    draw = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        if shape.label is not None:
            _fill(draw, shape, shape.label, side)
    middle = _SAMPLES // 2
    return np.array(canvas)[middle::_SAMPLES, middle::_SAMPLES].copy()


def photo(scene: Scene, size: int, rng: np.random.Generator) -> np.ndarray:
    """Renders the photograph: uint8 [size, size, 3].

    Args:
        scene: What to show.
        size: Its height and width in pixels.
        rng: Random numbers for the clouds, the textures and the camera's noise.
    """
    side = size * _SAMPLES
    canvas = _sky(scene, rng).resize((side, side), Image.Resampling.BILINEAR)
    draw, blend = ImageDraw.Draw(canvas), ImageDraw.Draw(canvas, "RGBA")
    for shape in scene.shapes:
        pencil = draw if len(shape.colour) == 3 else blend
        _fill(pencil, shape, shape.colour, side)
    small = canvas.reduce(_SAMPLES).filter(ImageFilter.GaussianBlur(size / 500))
    image = np.asarray(small).astype(np.float32)
    image *= _texture(class_map(scene, size), rng)[..., None]
    image *= np.asarray(scene.light.tint, np.float32)
    image *= _vignette(size)[..., None]
    image += rng.normal(0.0, 2.2, image.shape[:2]).astype(np.float32)[..., None]
    image += rng.standard_normal(image.shape, np.float32) * 1.3
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _fill(draw: ImageDraw.ImageDraw, shape, colour, side: int) -> None:
    # Pillow's coordinates name pixel centres, hence the half.
    points = [(u * side - 0.5, v * side - 0.5) for u, v in shape.points]
    if shape.ellipse:
        draw.ellipse(points, fill=colour)
    else:
        draw.polygon(points, fill=colour)


def _noise(rng: np.random.Generator, cells: tuple[int, int], size: int) -> np.ndarray:
    """Smooth noise of unit variance on a grid of cells: float32 [size, size]."""
    grid = Image.fromarray(rng.standard_normal(cells, np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def _sky(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """The whole picture filled with sky: a gradient and clouds."""
    size, light = _SKY_SIZE, scene.light
    height = np.linspace(0, 1 / scene.horizon, size, dtype=np.float32).clip(0, 1)
    height = height[:, None, None] ** 1.3
    top, low = np.asarray((light.sky_top, light.sky_low), np.float32)
    sky = top * (1 - height) + low * height
    # More rows than columns: clouds are seen from below and look flattened.
    grids = ((7, 3), (14, 6), (28, 14), (56, 32))
    puffs = sum(_noise(rng, grid, size) / 2**k for k, grid in enumerate(grids))
    cover = np.clip((puffs / 1.2 - 1.1 + 1.8 * light.clouds) * 0.8, 0, 1)[..., None]
    cover = cover * (1 - 0.6 * height) * 0.75
    bright = np.clip(0.94 + 0.08 * puffs[..., None], 0.8, 1.05)
    white = (0.7 * np.asarray((246, 247, 250), np.float32) + 0.3 * low) * bright
    sky = sky * (1 - cover) + white * cover
    return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))


def _texture(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factors of brightness, float32 [size, size]."""
    size = classes.shape[0]
    amounts = _TEXTURE[classes]
    coarse = _noise(rng, (14, 10), size) + _noise(rng, (36, 24), size)
    grain = _noise(rng, (64, 64), size)
    if size > 96:
        grain = 0.7 * grain + 0.7 * rng.standard_normal((size, size), np.float32)
    return 1 + 0.7 * amounts[..., 0] * coarse + amounts[..., 1] * grain


def _vignette(size: int) -> np.ndarray:
    place = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    return 1.02 - 0.09 * (place[:, None] + place[None])
