"""Encodes images and animations in the chosen format."""

import errno
import functools
import io
from collections.abc import Iterable, Sequence

import numpy as np
from etils import epath
from PIL import Image, ImageCms

from cyclegan_jax import files
from cyclegan_jax.data import formats
from cyclegan_jax.errors import UserError
from cyclegan_jax.images import PICTURE, Pixels
from cyclegan_jax.translation import measured

SUFFIXES = {
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"},
    **{".webp": "WEBP", ".avif": "AVIF", ".gif": "GIF"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"},
    **{".npy": "NPY", ".npz": "NPZ"},
}
"""File extension -> format, by Pillow's name, or NumPy's."""

_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
_WITHOUT_ALPHA = ("JPEG", "BMP")
_WITH_PROFILE = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")
_WITH_EXIF = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")
_MOVING = ("PNG", "WEBP", "AVIF", "GIF")


class Unsuitable(UserError):
    """An image that the chosen format cannot represent."""


class Style:
    """How pictures are written.

    Attributes:
      suffix: of the files.
      animates: whether files of this format can hold animations.
      transparent: whether they can hold transparency.
      stacks: whether they can hold several images of measured values.
    """

    def __init__(
        self,
        name: str = "png",
        quality: int | None = None,
        pixels: Pixels = PICTURE,
    ):
        """Checks the choice.

        Args:
          name: the ending of the files, such as png, jpg or webp.
          quality: of lossy formats, 1 to 100; None for their default.
          pixels: what is written.

        Raises:
          UserError: there is no such format, it has no quality, it cannot hold such
            values, or a package is missing.
        """
        self.suffix = f".{name.lower().removeprefix('.')}"
        if self.suffix not in SUFFIXES:
            known = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise UserError(f"format is {name!r}; it can be {known}.")
        self._format = SUFFIXES[self.suffix]
        if quality is not None and self._format not in _QUALITY:
            raise UserError(
                f"quality is for jpg, webp and avif; {self.suffix[1:]} files lose none:"
                " leave it out, or choose one of them with --format."
            )
        if quality is not None and not 1 <= quality <= 100:
            raise UserError(f"quality is {quality}; it can be 1 to 100.")
        self._quality = quality or _QUALITY.get(self._format)
        if pixels.measured and not measured.can_write(pixels, self.suffix):
            raise UserError(
                f"{self.suffix[1:]} files cannot hold {pixels.describe()} with"
                f" {pixels.counted}: choose one of"
                f" {', '.join(measured.suffixes(pixels))} with --format."
            )
        is_numpy = self.suffix in formats.ARRAY_SUFFIXES
        self._as_array = pixels.measured or is_numpy
        if self._as_array:
            measured.check_package(self.suffix)
        self.animates = self._format in _MOVING and not pixels.measured
        self.transparent = self._format not in _WITHOUT_ALPHA and not pixels.measured
        self.stacks = pixels.measured and self._format != "PNG"

    def encode(self, pixels: np.ndarray, exif: bytes = b"") -> bytes:
        """Encodes a picture.

        Args:
          pixels: uint8 [H, W, 1, 3 or 4], in sRGB; or measured values [H, W, C], or,
            if it `stacks`, [N, H, W, C].
          exif: what goes along where the format can hold it.

        Raises:
          Unsuitable: it is too large for the format.
        """
        if self._as_array:
            return measured.write(pixels, self.suffix)
        return self._save(self._image(pixels), exif)

    def encode_animation(
        self,
        frames: Iterable[np.ndarray],
        durations: Sequence[int],
        loop: int | None,
        exif: bytes = b"",
    ) -> bytes:
        """Encodes an animation.

        Args:
          frames: each as for `encode`.
          durations: of each, in milliseconds; may grow with the frames.
          loop: number of repetitions; 0 for endless, None for the format's default.
          exif: see `encode`.

        Raises:
          Unsuitable: the format holds no animations, or none so large.
        """
        if not self.animates:
            raise Unsuitable(f"{self.suffix[1:]} files cannot be animated")
        first, *others = (self._image(frame) for frame in frames)
        options = {"save_all": True, "append_images": others}
        options |= {"duration": list(durations)}
        if loop is not None:
            options["loop"] = loop
        if self._format == "GIF":
            options["disposal"] = 2
        return self._save(first, exif, **options)

    def _image(self, pixels):
        if pixels.shape[-1] == 4 and not self.transparent:
            pixels = pixels[..., :3]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        if self._format in ("WEBP", "AVIF") and image.mode == "L":
            return image.convert("RGB")
        return image

    def _save(self, image, exif, **options):
        if self._format in _QUALITY:
            options["quality"] = self._quality
        if self._format == "JPEG":
            options["subsampling"] = 0  # No chroma subsampling.
        if self._format in _WITH_PROFILE and image.mode != "L":
            options["icc_profile"] = _srgb()
        if exif and self._format in _WITH_EXIF:
            options["exif"] = exif
        buffer = io.BytesIO()
        try:
            image.save(buffer, self._format, **options)
        except (ValueError, OSError, KeyError) as error:
            size = f"{image.width}x{image.height}"
            raise Unsuitable(
                f"{size} pixels cannot be written as {self.suffix[1:]} ({error})"
            ) from error
        return buffer.getvalue()


def write(path: epath.Path, data: bytes) -> None:
    """Writes a file in one go, and makes the folders above it.

    Raises:
      OSError: it cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{path} is a folder")
    with files.folders_above(path):
        files.write(path, data)


@functools.cache
def _srgb() -> bytes:
    """An sRGB profile, byte for byte reproducible."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]  # Without the date.
