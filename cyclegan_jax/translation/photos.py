"""Pictures that people hand in, opened as they would expect to see them.

Training reads images exactly as the published code does (see `decode`). Here the EXIF
orientation is applied, and transparency is kept aside.
"""

import io
import os
import struct
from typing import NamedTuple

import numpy as np
from etils import epath
from PIL import Image

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
    orientation = _orientation(path)
    upright = [
        np.ascontiguousarray(_turn(array, orientation)) for array in (pixels, alpha)
    ]
    opaque = bool(np.all(alpha == 255))
    return Photo(upright[0], None if opaque or channels == 4 else upright[1])


def _orientation(path) -> int:
    try:
        with Image.open(io.BytesIO(epath.Path(path).read_bytes())) as image:
            if image.format == "TIFF":  # Pillow has turned it already.
                return 1
            return image.getexif().get(0x0112, 1)
    except (SyntaxError, struct.error, ValueError, OSError):  # Damaged EXIF data.
        return 1


def _turn(array, orientation):
    """Undoes an EXIF orientation (1 to 8; others mean nothing)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)  # Then as 1, 2, 4 or 3, mirrored.
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(array, flips.get(orientation, ()))
