"""Properties of encoded images that change when they are read as pictures of 8 bits."""

import io

from PIL import Image

from cyclegan_jax.data import arrays, colour, formats
from cyclegan_jax.data.decode import BROKEN

_ORIENTATION = 0x0112


def traits(data: bytes) -> list[str]:
    """Lists the properties of an encoded image that change when it is read.

    Reads only its header.

    Returns:
      Keys of `TRAITS`; empty if it cannot be read.
    """
    if arrays.is_numpy(data):
        return []
    try:
        with Image.open(io.BytesIO(data), formats=formats.FORMATS) as image:
            return [trait for trait, has in TRAITS.items() if has(image, data)]
    except BROKEN:
        return []


def has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Whether an opened image has more than 8 bits a channel, perhaps 16.

    Pillow reads such colours with 8 bits, and does not tell.
    """
    if image.mode.startswith("I") or image.info.get("bit_depth", 8) > 8:  # HEIF
        return True
    if image.format == "JPEG2000":  # The precision of each component, minus 1.
        at = data.find(b"\xff\x4f\xff\x51") + 40
        return any(bits & 0x7F > 7 for bits in data[at + 2 :: 3][: data[at + 1]])
    if image.format == "AVIF":
        at = data.find(b"pixi") + 8
        return any(bits > 8 for bits in data[at + 1 :][: data[at]])
    if image.format == "PPM":
        return largest(image) > 255 or ";16" in raw_mode(image)
    return image.format in ("PNG", "TIFF") and ";16" in raw_mode(image)


def raw_mode(image: Image.Image) -> str:
    """How Pillow unpacks the values of an opened image, such as "RGB;16B"; or ""."""
    tiles = _tiles(image)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def largest(image: Image.Image) -> int:
    """The largest value that a PPM file can hold, which Pillow makes 255 or 65535."""
    arguments = _tiles(image)[0][3]
    return max((n for n in arguments if isinstance(n, int)), default=255)


def _tiles(image):
    """Codec, extents, offset and arguments of each part of an opened image."""
    return image.tile


def _orientation(image, data):
    try:
        return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except BROKEN:  # Damaged EXIF data.
        return False


def _has_alpha(image, data):
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


TRAITS = {
    "16 bits": has_16_bits,  # First: Pillow forgets it where it reads EXIF data.
    "animated": lambda image, data: getattr(image, "is_animated", False),
    "turned": _orientation,
    "hdr": lambda image, data: bool(colour.hdr(colour.profile_of(image, data))),
    "profile": lambda image, data: (
        not colour.is_srgb(profile := colour.profile_of(image, data))
        and not colour.hdr(profile)
    ),
    "alpha": _has_alpha,
}
"""Property of an image -> whether an opened image, with its content, has it."""
