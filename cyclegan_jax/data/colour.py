"""Colours of pictures with a profile of their own (ICC), converted to sRGB.

Conversions are Little CMS's, as Pillow calls it, with its default (perceptual) intent.
"""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

_TOLERANCE = 2  # Levels: profiles that move no colour farther are sRGB's own.
_MODES = {  # A profile's colour space -> the pictures' modes that it may belong to.
    "RGB": ("RGB", "RGBA", "L", "LA", "1", "P", "PA"),
    "GRAY": ("L", "LA", "1"),
    "CMYK": ("CMYK",),
}


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts a picture from its profile to sRGB.

    Args:
      image: of 8 bits a channel.
      profile: the ICC profile that its file has, if any.

    Returns:
      The same image if it is sRGB already, or if the profile is damaged, or not for
      such pictures; else one of mode RGB, or RGBA where there is transparency.
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


def is_srgb(profile: bytes) -> bool:
    """Whether `to_srgb` leaves pictures of this profile as they are."""
    return not profile or _conversion(profile) is None


@functools.lru_cache(maxsize=32)
def _conversion(
    profile: bytes,
) -> tuple[str, Callable[[Image.Image], Image.Image]] | None:
    """The colour space of a profile and how to convert from it; None: no need to."""
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
