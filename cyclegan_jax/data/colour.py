"""Converts images to sRGB from the colours that their files name.

Conversions from ICC profiles are Little CMS's, as Pillow calls it, with its default
(perceptual) intent; those from the numbers of ITU-T H.273 are in `cicp`.
"""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

from cyclegan_jax.data import cicp
from cyclegan_jax.data.cicp import Cicp

_TOLERANCE = 2  # Levels: profiles that change no colour by more are sRGB.
_MODES = {  # A profile's colour space -> the image modes that it applies to.
    "RGB": ("RGB", "RGBA", "L", "LA", "1", "P", "PA"),
    "GRAY": ("L", "LA", "1"),
    "CMYK": ("CMYK",),
}
HDR_CUT = "what is brighter than white paper (203 cd/m²) is white"
"""What `to_srgb` makes of HDR."""


def profile_of(image: Image.Image, data: bytes) -> bytes | Cicp | None:
    """Returns what says which colours a file has.

    Args:
      image: as Pillow opened it.
      data: the file.

    Returns:
      A PNG's cICP chunk before its ICC profile, by the PNG specification, and an
      AVIF's or HEIC's ICC profile before its numbers, as libavif does; None without.
    """
    profile = image.info.get("icc_profile")
    if image.format == "PNG":
        return cicp.of_png(data) or profile
    if image.format in ("AVIF", "HEIF"):
        return profile or cicp.of_heif(data)
    return profile


def hdr(profile: bytes | Cicp | None) -> str:
    """Returns PQ or HLG, or "" for a picture that is not HDR."""
    return profile.hdr if isinstance(profile, Cicp) else ""


def to_srgb(image: Image.Image, profile: bytes | Cicp | None) -> Image.Image:
    """Converts an image from its profile to sRGB.

    Args:
      image: 8 bits per channel.
      profile: see `profile_of`.

    Returns:
      The same image if it is already sRGB, or if the profile is damaged or does not
      apply to its mode; otherwise an RGB image, or RGBA with transparency.
    """
    if not profile or (conversion := _conversion(profile)) is None:
        return image
    space, convert = conversion
    if image.mode not in _MODES[space]:
        return image
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
    stored = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space]
    if image.mode == "P" and alpha is not None:
        image = image.convert("RGBA")  # The same colours, without Pillow's warning.
    converted = convert(image if image.mode == stored else image.convert(stored))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def is_srgb(profile: bytes | Cicp | None) -> bool:
    """Whether `to_srgb` leaves images with this profile unchanged."""
    return not profile or _conversion(profile) is None


@functools.lru_cache(maxsize=32)
def _conversion(
    profile: bytes | Cicp,
) -> tuple[str, Callable[[Image.Image], Image.Image]] | None:
    """The colour space of a profile and the transform to sRGB; None if not needed."""
    if isinstance(profile, Cicp):
        convert = functools.partial(cicp.convert, source=profile)
        return None if profile.is_srgb else ("RGB", convert)
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in _MODES:
            return None
        stored = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space]
        transform = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), stored, "RGB"
        )
        if space == "CMYK":
            return space, transform.apply
        colours = _all_colours().convert(stored)
        before = np.asarray(colours.convert("RGB")).astype(int)
        moved = np.abs(np.asarray(transform.apply(colours)) - before).max()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if moved <= _TOLERANCE else (space, transform.apply)


def _all_colours() -> Image.Image:
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(grid.reshape(64, 64, 3))
