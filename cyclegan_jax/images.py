"""Images as arrays.

Shapes use H, W (space) and C (channels); pixels are uint8, or float32 in [-1, 1].
"""

from collections.abc import Mapping
from typing import TypeVar

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = TypeVar("Array", np.ndarray, jax.Array)

_TILE = 128  # Pixels: images in a grid are at least about this large.
_GAP, _TITLE = 4, 28  # Pixels between images, and above them for the titles.


def to_float(pixels: Array) -> Array:
    """Maps uint8 [...] to float32 in [-1, 1], as the networks want it."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Maps [-1, 1] to uint8 [...], rounded to the nearest and clipped.

    (The published code truncates, which darkens images by half a level.)
    """
    scaled = (np.asarray(values, np.float32) + np.float32(1.0)) * np.float32(127.5)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Makes [..., 1, 3 or 4] channels three; transparency is left out."""
    return np.broadcast_to(pixels[..., :3], (*pixels.shape[:-1], 3))


def sample_grid(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Puts images side by side: a column for each entry, a row for each example.

    Args:
      columns: title -> uint8 [N, H, W, C]; N may differ, missing cells stay empty.

    Returns:
      uint8 [H', W', 3]; small images are enlarged without smoothing.
    """
    side = max(max(images.shape[1:3]) for images in columns.values())
    zoom = max(1, -(-_TILE // side))
    height = max(images.shape[1] for images in columns.values()) * zoom + _GAP
    width = max(images.shape[2] for images in columns.values()) * zoom + _GAP
    rows = max(len(images) for images in columns.values())
    size = (_GAP + width * len(columns), _TITLE + height * rows)
    sheet = Image.new("RGB", size, (245, 245, 244))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, (title, images) in enumerate(columns.items()):
        x = _GAP + number * width
        middle = (x + (width - _GAP) / 2, _TITLE / 2)
        draw.text(middle, title, fill=(60, 60, 64), font=font, anchor="mm")
        for row, image in enumerate(images):
            if image.shape[-1] == 1:
                image = image[..., 0]
            tile = Image.fromarray(image).convert("RGB")
            enlarged = (tile.width * zoom, tile.height * zoom)
            tile = tile.resize(enlarged, Image.Resampling.NEAREST)
            sheet.paste(tile, (x, _TITLE + row * height))
    return np.asarray(sheet)
