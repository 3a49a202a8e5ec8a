"""Pictures that people hand in, opened as they would expect to see them.

They are read as in training (see `decode`), but transparency is kept aside.
"""

import os
from typing import NamedTuple

import numpy as np

from cyclegan_jax.data import decode


class Photo(NamedTuple):
    """An opened picture.

    Attributes:
      pixels: uint8 [H, W, C], C as asked for.
      alpha: uint8 [H, W], or None if the picture is not transparent anywhere, or if
        `pixels` has it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None


def open_photo(path: str | os.PathLike, channels: int) -> Photo:
    """Opens a picture upright.

    Args:
      path: of the file (gs:// paths too).
      channels: 1 (grey), 3 (colour) or 4 (and alpha) that they are converted to.

    Raises:
      UnreadableImage: it cannot be decoded, and why.
    """
    rgba = decode.decode_image(path, channels=4)
    alpha = rgba[..., 3]
    pixels = rgba
    if channels < 4:
        pixels = decode.convert_channels(np.ascontiguousarray(rgba[..., :3]), channels)
    opaque = bool(np.all(alpha == 255))
    return Photo(pixels, None if opaque or channels == 4 else alpha)
