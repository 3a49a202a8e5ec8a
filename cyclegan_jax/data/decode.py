"""Encoded images to uint8 arrays, in one place and with one set of rules.

Colours follow the published PyTorch code, ``Image.open(path).convert("RGB")``:
transparency is dropped, not composited; EXIF orientation is not applied (but Pillow
turns TIFFs itself); of an animation the first frame counts. Two things differ on
purpose: 16-bit greyscale is scaled to 8 bits (``convert`` clips it to white), and
images whose values have no defined range (32-bit integer or float) are refused.
"""

import io
import os
import struct
import zlib

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax.errors import UserError

MAX_BYTES = 256 * 2**20
"""Largest encoded image that is read, in bytes."""
MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels (Pillow's own warning threshold)."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow's decoders raise on broken bytes (found by flipping bytes of every
# format); its UnidentifiedImageError is an OSError.
_BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError),
    *(OverflowError, struct.error, zlib.error, Image.DecompressionBombError),
)


class UnreadableImage(UserError):
    """An image that is damaged, too large, or of a kind that has no 8-bit meaning."""


def decode_image(
    source: bytes | str | os.PathLike, *, channels: int = 3, name: str = ""
) -> np.ndarray:
    """Decodes one image.

    Args:
      source: the encoded bytes, or the path of a file (gs:// paths too).
      channels: 1 (ITU-R 601 luma), 3 (RGB) or 4 (RGBA).
      name: what error messages call the image; the path by default.

    Returns:
      A uint8 array [H, W, channels].

    Raises:
      UnreadableImage: the image cannot be decoded, and why.
    """
    name = name or (os.fspath(source) if not isinstance(source, bytes) else "an image")
    try:
        data = source if isinstance(source, bytes) else read_file(source, name)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(
                    f"image {name} has {image.width}x{image.height} pixels; at most "
                    f"{MAX_PIXELS} are decoded: shrink it first"
                )
            return _to_array(_eight_bit(image, name), channels)
    except _BROKEN as error:
        raise UnreadableImage(
            f"image {name} cannot be decoded ({_reason(error)}): replace or remove it "
            "(training can leave such images out: config.data.on_corrupt='skip')"
        ) from error


def convert_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Converts uint8 [H, W, 1 | 3 | 4] to [H, W, channels] by the rules above."""
    if image.shape[-1] == channels:
        return image
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    return _to_array(Image.fromarray(squeezed), channels)


def check_channels(channels: int) -> int:
    """Returns `channels` if images can be decoded to it, else raises UserError."""
    if channels not in _MODES:
        raise UserError(f"images can have 1, 3 or 4 channels, not {channels}")
    return channels


def read_file(path: str | os.PathLike, name: str) -> bytes:
    """Reads an encoded image.

    Args:
      path: of the file; gs:// paths too.
      name: what error messages call it.

    Raises:
      UnreadableImage: it is too large, or cannot be read.
    """
    path = epath.Path(path)
    size = path.stat().length
    if size > MAX_BYTES:
        raise UnreadableImage(
            f"image {name} is a file of {size} bytes; at most {MAX_BYTES} are read"
        )
    return path.read_bytes()


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """Maps 16-bit greyscale to 8 bits by rounding value * 255 / 65535."""
    # Pillow opens a 16-bit PGM as mode "I", already scaled to 0..65535.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImage(
            f"image {name} holds 32-bit values (Pillow mode {image.mode}), whose range "
            "is not defined: save it with 8 or 16 bits a channel"
        )
    return image


def _to_array(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning
    wanted = _MODES[channels]
    # Always by way of RGB, as the published code does; RGB to L is ITU-R 601 luma.
    if image.mode != wanted and (channels != 4 or image.mode not in ("LA", "RGBA")):
        image = image.convert("RGB")
    array = np.array(image.convert(wanted))
    return array[..., None] if channels == 1 else array


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not one of {', '.join(_FORMATS)}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
