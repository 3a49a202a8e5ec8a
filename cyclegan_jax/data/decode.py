"""Encoded images to arrays, in one place and with one set of rules.

Measured values (`images.Pixels`) are read as they are stored, by `arrays`. All other
images become pictures of 8 bits: EXIF orientation is applied, and the colours that a
file names, by a profile or by numbers, are converted to sRGB. Other rules are those of
the published PyTorch code, ``Image.open(path).convert("RGB")``: transparency is
dropped, not composited, and only the first frame of an animation is used. Two more
differences are deliberate: 16-bit greyscale is scaled to 8 bits (``convert`` clips it
to white), and 32-bit integer or float values, whose range is not defined, are refused.
"""

import contextlib
import dataclasses
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from etils import epath
from PIL import Image, ImageOps, UnidentifiedImageError

from cyclegan_jax.data import arrays, colour, formats
from cyclegan_jax.errors import UserError
from cyclegan_jax.images import PICTURE, Pixels

MAX_BYTES = 256 * 2**20
"""Largest encoded image that is read, in bytes."""
MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels (Pillow's own warning threshold)."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow's decoders raise on damaged files (determined by flipping bytes of every
# format); its UnidentifiedImageError is an OSError.
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError),
    *(OverflowError, struct.error, zlib.error, Image.DecompressionBombError),
)

DECLARE = (
    "declare what it is with config.data.dtype_a and range_a (or dtype_b and range_b):"
    " docs/data.md"
)


class UnreadableImage(UserError):
    """An image that is damaged, too large, or cannot be converted to 8 bits."""


@dataclasses.dataclass(frozen=True)
class Decoder:
    """How the images of a domain are decoded; see `decode_image`.

    Attributes:
      channels: 1, 3 or 4.
      as_stored: ignore EXIF orientation and colour profiles.
      pixels: what images are; if measured, the two others do not apply.

    Raises:
      UserError: `channels` is not 1, 3 or 4.
    """

    channels: int = 3
    as_stored: bool = False
    pixels: Pixels = PICTURE

    def __post_init__(self):
        if not self.pixels.measured and self.channels not in _MODES:
            raise UserError(f"images can have 1, 3 or 4 channels, not {self.channels}")

    def __call__(self, source: bytes | str | os.PathLike, name: str) -> np.ndarray:
        """Decodes an image, or the first page of measured values.

        Args:
          source: the encoded bytes, or the path of a file.
          name: identifies it in error messages.
        """
        if not self.pixels.measured:
            return decode_image(
                source, channels=self.channels, as_stored=self.as_stored, name=name
            )
        return measured_pages(source, self.pixels, name)[0]


def measured_pages(
    source: bytes | str | os.PathLike, pixels: Pixels, name: str
) -> np.ndarray:
    """Reads measured values; see `arrays.read_pages`.

    Args:
      source: the encoded bytes, or the path of a file (gs:// paths too).
      pixels: what they must be.
      name: identifies the file in error messages.

    Raises:
      UnreadableImage: they cannot be read, or are something else.
    """
    with reading(source, name) as data:
        try:
            return arrays.read_pages(data, pixels)
        except arrays.NotAnImage as error:
            raise UnreadableImage(
                f"image {name} is not what config.data declares: {error}"
            ) from None


def decode_image(
    source: bytes | str | os.PathLike,
    *,
    channels: int = 3,
    as_stored: bool = False,
    name: str = "",
) -> np.ndarray:
    """Decodes one image.

    Args:
      source: the encoded bytes, or the path of a file (gs:// paths too).
      channels: 1 (ITU-R 601 luma), 3 (RGB) or 4 (RGBA).
      as_stored: ignore EXIF orientation and colour profiles, as the published code
        does (Pillow always applies the orientation of TIFFs, and libheif of HEICs).
      name: identifies the image in error messages; by default the path.

    Returns:
      A uint8 array [H, W, channels].

    Raises:
      UnreadableImage: the image cannot be decoded.
    """
    name = name or (os.fspath(source) if not isinstance(source, bytes) else "an image")
    with reading(source, name) as data:
        if arrays.is_numpy(data):
            return _from_numpy(data, channels, name)
        with open_image(data, name) as image:
            profile = colour.profile_of(image, data)
            image.load()
            if not as_stored:
                turn_upright(image)
            small = _eight_bit(image, data, name)
            small = small if as_stored else colour.to_srgb(small, profile)
            return _to_array(small, channels)


@contextlib.contextmanager
def reading(source: bytes | str | os.PathLike, name: str) -> Iterator[bytes]:
    """Reads an encoded image, and tells what is wrong if it cannot be decoded.

    Args:
      source: the encoded bytes, or the path of a file (gs:// paths too).
      name: identifies the image in error messages.

    Raises:
      UnreadableImage: whatever decoders raise inside the `with` becomes one.
    """
    data = b""
    try:
        data = source if isinstance(source, bytes) else read_file(source, name)
        yield data
    except (*BROKEN, RuntimeError, zipfile.BadZipFile) as error:
        values = formats.tiff_values(data)
        if values and isinstance(error, UnidentifiedImageError):
            raise _no_picture(name, values) from error
        reason = formats.reason_unreadable(error, data)
        raise UnreadableImage(
            f"image {name} cannot be decoded ({reason}): replace or remove it"
            " (training can leave such images out: config.data.on_corrupt='skip')"
        ) from error


def open_image(data: bytes, name: str) -> Image.Image:
    """Opens an encoded image, without decoding it.

    Raises:
      UnreadableImage: it has too many pixels.
    """
    image = Image.open(io.BytesIO(data), formats=formats.FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(
            f"image {name} has {image.width}x{image.height} pixels; at most "
            f"{MAX_PIXELS} are decoded: shrink it first"
        )
    return image


def _from_numpy(data: bytes, channels: int, name: str) -> np.ndarray:
    """A picture of 8 bits in a file of NumPy's."""
    array = arrays.read_numpy(data)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] not in _MODES:
        raise _no_picture(name, f"an array {list(array.shape)} of {array.dtype}")
    return convert_channels(array, channels)


def convert_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Converts uint8 [H, W, 1 | 3 | 4] to [H, W, channels] by the rules above."""
    if image.shape[-1] == channels:
        return image
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    return _to_array(Image.fromarray(squeezed), channels)


def read_file(path: epath.PathLike, name: str) -> bytes:
    """Reads an encoded image.

    Args:
      path: of the file; may be gs://.
      name: identifies it in error messages.

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


def turn_upright(image: Image.Image) -> None:
    """Applies the EXIF orientation of an image in place."""
    with contextlib.suppress(*BROKEN):  # Damaged EXIF data: ignored.
        ImageOps.exif_transpose(image, in_place=True)


def _no_picture(name, values):
    return UnreadableImage(f"image {name} holds {values}, no picture: {DECLARE}")


def _eight_bit(image: Image.Image, data: bytes, name: str) -> Image.Image:
    """Maps 16-bit greyscale to 8 bits by rounding value * 255 / 65535."""
    # Pillow opens a 16-bit PGM as mode "I", already scaled to 0..65535.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    stored = formats.tiff_values(data)  # Pillow takes some signed ones for unsigned.
    if image.mode in ("I", "F") or stored.startswith(("int", "float", "complex")):
        raise _no_picture(name, stored or f"values of Pillow's mode {image.mode}")
    return image


def _to_array(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning
    wanted = _MODES[channels]
    # Always by way of RGB, as the published code does; RGB to L is ITU-R 601 luma.
    if image.mode != wanted and (channels != 4 or image.mode not in ("LA", "RGBA")):
        image = image.convert("RGB")
    return np.array(image.convert(wanted)).reshape(image.height, image.width, channels)
