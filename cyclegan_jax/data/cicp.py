"""Pictures whose files name their colours by the numbers of ITU-T H.273.

Those are PNGs with a cICP chunk, AVIFs and HEICs; among them pictures of high dynamic
range (HDR). They become sRGB as HDR videos do: white paper (203 cd/m², ITU-R BT.2408)
becomes white, and so does whatever is brighter.
"""

import functools
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

HDR = {16: "PQ", 18: "HLG"}
"""Number of a transfer function of HDR -> its name (ITU-R BT.2100)."""
_WHITE = 203  # cd/m²
_D65 = (0.3127, 0.3290)
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# Red, green, blue and white, as x and y of CIE 1931.
_WIDE = {
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: (*_P3, (0.314, 0.351)),  # DCI-P3
    12: (*_P3, _D65),  # Display P3
}
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_PIXELS_AT_ONCE = 2**20


class Cicp(NamedTuple):
    """Colour primaries and transfer function, by their numbers."""

    primaries: int
    transfer: int

    @property
    def hdr(self) -> str:
        """PQ, HLG, or "" for a picture that is not HDR."""
        return HDR.get(self.transfer, "")

    @property
    def is_srgb(self) -> bool:
        """Whether `convert` leaves pictures unchanged."""
        return not self.hdr and self.primaries not in _WIDE


def of_png(data: bytes) -> Cicp | None:
    """Returns what the cICP chunk of a PNG says; None without one."""
    for name, content in _chunks(data):
        if name == b"cICP" and len(content) >= 2:
            return Cicp(*content[:2])
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of a PNG before its pixels."""
    at = 8
    while len(header := data[at : at + 8]) == 8 and header[4:] != b"IDAT":
        length = int.from_bytes(header[:4], "big")
        yield header[4:], data[at + 8 : at + 8 + length]
        at += 12 + length


def of_heif(data: bytes) -> Cicp | None:
    """Returns what the first colour box of an AVIF or HEIC says; None without one."""
    at = data.find(b"colrnclx") + 8
    if at < 8 or len(data) < at + 4:
        return None
    return Cicp(*struct.unpack(">HH", data[at : at + 4]))


def convert(image: Image.Image, source: Cicp) -> Image.Image:
    """Converts an RGB image to sRGB."""
    pixels = np.asarray(image)
    result = np.empty_like(pixels)
    rows = max(1, _PIXELS_AT_ONCE // max(1, image.width))
    for top in range(0, image.height, rows):
        part = slice(top, top + rows)
        result[part] = _converted(pixels[part], source)
    return Image.fromarray(result)


def _converted(pixels, source):
    levels = np.arange(256) / 255
    if source.transfer == 16:
        light = _pq(levels).astype(np.float32)[pixels]
    elif source.transfer == 18:
        light = _hlg(levels).astype(np.float32)[pixels]
        weights = _to_xyz(source.primaries)[1]
        # The reference display of 1,000 cd/m² has a gamma of 1.2.
        light *= 1000 / _WHITE * (light @ weights)[..., None] ** 0.2
    else:
        light = _srgb_to_light(levels).astype(np.float32)[pixels]
    light = np.clip(light @ _to_bt709(source.primaries).T, 0, 1)
    return np.rint(255 * _light_to_srgb(light)).astype(np.uint8)


def _pq(code):
    """SMPTE ST 2084, in units of white paper."""
    power = code ** (32 / 2523)
    ratio = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
    return ratio ** (16384 / 2610) * 10_000 / _WHITE


def _hlg(code):
    """ARIB STD-B67: light of the scene, 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _srgb_to_light(code):
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _light_to_srgb(light):
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    )


@functools.cache
def _to_bt709(primaries: int) -> np.ndarray:
    """The matrix [3, 3] of light; for other whites by Bradford's adaptation."""
    return (np.linalg.inv(_to_xyz(1)) @ _to_xyz(primaries)).astype(np.float32)


@functools.cache
def _to_xyz(primaries: int) -> np.ndarray:
    *colours, white = (_xyz(xy) for xy in _WIDE.get(primaries, _BT709))
    matrix = np.stack(colours, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = (_BRADFORD @ _xyz(_D65)) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (cones[:, None] * _BRADFORD) @ matrix


def _xyz(xy):
    x, y = xy
    return np.array([x / y, 1, (1 - x - y) / y])
