"""Images as arrays and as files.

Shapes use H, W (space) and C (channels); pixels are uint8, or float32 in [-1, 1].
"""

import io
from typing import TypeVar

import jax
import numpy as np
from etils import epath
from PIL import Image

Array = TypeVar("Array", np.ndarray, jax.Array)


def to_float(pixels: Array) -> Array:
    """Maps uint8 [...] to float32 in [-1, 1], as the networks want it."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Maps [-1, 1] to uint8 [...], rounded to the nearest and clipped.

    (The published code truncates, which darkens images by half a level.)
    """
    scaled = (np.asarray(values, np.float32) + np.float32(1.0)) * np.float32(127.5)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def save_png(path: epath.PathLike, pixels: np.ndarray) -> None:
    """Writes uint8 [H, W] or [H, W, C] as a PNG; readers never see half of it."""
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path = epath.Path(path)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)
