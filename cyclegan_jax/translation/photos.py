"""Reads images to translate: upright, in sRGB, with transparency and EXIF data.

Measured values are read as stored, all pages of them.
"""

import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax.data import colour, decode, formats
from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.traits import has_16_bits
from cyclegan_jax.files import is_remote
from cyclegan_jax.images import PICTURE, Pixels

_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # Other formats contain pages or depth maps.
_EXIF, _GPS = 0x8769, 0x8825
# What describes the picture, not its file: description, camera, resolution, program,
# date, author, rights, and what Windows calls them.
_KEPT = (
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298),
    *range(0x9C9B, 0x9CA0),
)
_ORIENTATION = 0x0112
_TURNED_BY_PILLOW = ("TIFF", "HEIF")  # Always; their EXIF data no longer hold.
_SIDES, _MAKER_NOTE = (0xA002, 0xA003), 0x927C  # Wrong in another file.


@dataclasses.dataclass(frozen=True)
class Photo:
    """An opened picture.

    Attributes:
      pixels: [H, W, C], uint8 or measured values, C as asked for.
      alpha: uint8 [H, W], or None if the picture is not transparent anywhere, or if
        `pixels` has it.
      exif: the EXIF data that still hold, encoded; b"" for none.
      pages: pictures in the file, of which this is the first.
      deep: the file has more than 8 bits a channel, of which 8 were read.
      hdr: how a picture of high dynamic range was read; "" for others.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    exif: bytes = b""
    pages: int = 1
    deep: bool = False
    hdr: str = ""


@dataclasses.dataclass(frozen=True)
class Stack:
    """An opened file of measured values with several pages, each an image.

    Attributes:
      pages: [N, H, W, C].
    """

    pages: np.ndarray


class Animation:
    """An opened GIF, WebP, PNG or AVIF of several frames; close it after use.

    Attributes:
      durations: milliseconds that each frame was shown, for those read so far.
      loop: number of repetitions, 0 for endless; None if unspecified.
      count: frames.
      exif: see `Photo`.
      hdr: see `Photo`.
    """

    def __init__(
        self,
        image: Image.Image,
        data: bytes,
        name: str,
        channels: int,
        *,
        as_stored: bool,
    ):
        """Takes an image that Pillow has opened; see `open_photo`."""
        self._image, self._name, self._channels = image, name, channels
        self._as_stored = as_stored
        self.durations: list[int] = []
        self.loop: int | None = image.info.get("loop")
        self.count: int = getattr(image, "n_frames", 1)
        self.exif = _exif(image, as_stored)
        self._profile = colour.profile_of(image, data)
        self.hdr = _hdr(self._profile, as_stored)

    def frames(self) -> Iterator[Photo]:
        """Yields the frames as they are shown.

        Raises:
          UnreadableImage: one cannot be decoded.
        """
        for number in range(self.count):
            try:
                self._image.seek(number)
                frame = self._image.convert("RGBA")
            except decode.BROKEN as error:
                raise _unreadable(self._name, f"frame {number}: {error}") from error
            self.durations.append(round(self._image.info.get("duration") or 0))
            if not self._as_stored:
                decode.turn_upright(frame)
                frame = colour.to_srgb(frame, self._profile)
            yield _photo(np.asarray(frame), self._channels)

    def close(self) -> None:
        """Closes the file."""
        self._image.close()


def open_photo(
    path: epath.PathLike,
    channels: int,
    *,
    as_stored: bool = False,
    pixels: Pixels = PICTURE,
) -> Photo | Animation | Stack:
    """Opens a picture.

    Args:
      path: of the file (gs:// paths too).
      channels: 1 (grey), 3 (colour) or 4 (and alpha) that it is converted to.
      as_stored: see `decode_image`; the orientation then stays in the EXIF data.
      pixels: what it must be, if measured; then the two others do not apply.

    Raises:
      UnreadableImage: it cannot be decoded.
    """
    name = str(path)
    try:
        data = decode.read_file(path, name)
    except OSError as error:  # Unlike one from writing, it is the input's.
        raise _unreadable(name, error.strerror or error) from error
    if pixels.measured:
        stored = decode.measured_pages(data, pixels, name)
        return Stack(stored) if len(stored) > 1 else Photo(stored[0], None)
    deep, hdr = False, ""
    try:
        image = Image.open(io.BytesIO(data), formats=formats.FORMATS)
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and image.format in _ANIMATED:
            if image.width * image.height > decode.MAX_PIXELS:
                raise _unreadable(name, f"{image.width}x{image.height} is too large")
            return Animation(image, data, name, channels, as_stored=as_stored)
        deep = has_16_bits(image, data)  # Before Pillow forgets it.
        hdr = _hdr(colour.profile_of(image, data), as_stored)
        exif = _exif(image, as_stored)
        image.close()
        pages = 1 if image.format != "TIFF" else pages
    except decode.BROKEN:  # `decode_image` says why.
        pages, exif = 1, b""
    rgba = decode.decode_image(data, channels=4, as_stored=as_stored, name=name)
    photo = _photo(rgba, channels)
    return dataclasses.replace(photo, exif=exif, pages=pages, deep=deep, hdr=hdr)


def _hdr(profile, as_stored):
    kind = colour.hdr(profile)
    how = "read as if it were not" if as_stored else colour.HDR_CUT
    return kind and f"of HDR ({kind}): {how}"


def stored_size(path: epath.Path) -> tuple[int, int]:
    """Returns the width and height of a local picture, from its first bytes.

    (0, 0) where that is not possible, or would take a request.
    """
    if is_remote(path):
        return 0, 0
    try:
        with Image.open(os.fspath(path), formats=formats.FORMATS) as image:
            return image.size
    except decode.BROKEN:
        return 0, 0


def _unreadable(name, reason):
    return UnreadableImage(f"image {name} cannot be decoded ({reason}): replace it")


def _photo(rgba, channels):
    alpha, pixels = rgba[..., 3], rgba
    if channels < 4:
        pixels = decode.convert_channels(np.ascontiguousarray(rgba[..., :3]), channels)
    opaque = channels == 4 or bool(np.all(alpha == 255))
    return Photo(pixels, None if opaque else alpha)


def _exif(image: Image.Image, as_stored: bool) -> bytes:
    """The EXIF data that remain valid for a copy of an image, upright or as stored."""
    try:
        original, kept = image.getexif(), Image.Exif()
        turned = as_stored and image.format not in _TURNED_BY_PILLOW
        for tag in (*_KEPT, _ORIENTATION) if turned else _KEPT:
            if tag in original:
                kept[tag] = original[tag]
        for tag in (_EXIF, _GPS):
            part: dict[int, Any] = {
                key: value
                for key, value in original.get_ifd(tag).items()
                if key not in (*_SIDES, _MAKER_NOTE) and not isinstance(value, dict)
            }
            if part:
                kept[tag] = part
        return kept.tobytes() if len(kept) else b""
    except decode.BROKEN:  # Damaged EXIF data.
        return b""
