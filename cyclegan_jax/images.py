"""Images as arrays.

Shapes use H, W (space) and C (channels); pixels are as stored, which `Pixels` describes
(uint8 by default), or float32 in [-1, 1], as the networks want them.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = TypeVar("Array", np.ndarray, jax.Array)

FLOATS = ("float16", "float32", "float64")
DTYPES = ("uint8", "uint16", "int16", *FLOATS)
"""The types of stored values."""

_TILE = 128  # Pixels: images in a grid are at least about this large.
_GAP, _TITLE = 4, 28  # Pixels between images, and above them for the titles.


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How the images of a domain are stored, and the range that becomes [-1, 1].

    Attributes:
      dtype: of the values in files, one of `DTYPES`.
      low: the value that becomes -1.
      high: the value that becomes 1; above `low`.
      channels: C.
      measured: values are kept as they are stored, in exactly this type and number of
        channels; otherwise they are pictures of 8 bits, in sRGB, and other pictures are
        converted to them.
      shown: with `measured`, the channels that are shown where people look: one (as
        grey) or three (as red, green and blue), counted from 0.
    """

    dtype: str = "uint8"
    low: float = 0.0
    high: float = 255.0
    channels: int = 3
    measured: bool = False
    shown: tuple[int, ...] = (0, 1, 2)

    @property
    def memory_dtype(self) -> np.dtype:
        """The type of values in memory: float32 for all floats, as networks compute."""
        return np.dtype("float32" if self.dtype in FLOATS else self.dtype)

    @property
    def step(self) -> float:
        """The smallest difference: 1, or for floats 2^-22 of the range.

        That is what is left of float32's 2^-24 after the way there and back.
        """
        return (self.high - self.low) * 2.0**-22 if self.dtype in FLOATS else 1.0

    def to_float(self, values: Array) -> Array:
        """Maps stored values [...] to float32 in [-1, 1], as the networks want them."""
        values = values.astype(np.float32)
        if self.low:
            values = values - np.float32(self.low)
        return values / np.float32((self.high - self.low) / 2) - np.float32(1.0)

    def from_float(self, values: np.ndarray) -> np.ndarray:
        """Maps [-1, 1] to stored values [...], clipped, integers to the nearest.

        (The published code truncates, which darkens images by half a level.)
        """
        half = np.float32((self.high - self.low) / 2)
        scaled = (np.asarray(values, np.float32) + np.float32(1.0)) * half
        if self.low:
            scaled = scaled + np.float32(self.low)
        if self.dtype in FLOATS:  # Limits are exact in this type, not in float32.
            scaled = scaled.astype(self.dtype)
        return self.fit(scaled).astype(self.dtype)

    def fit(self, values: np.ndarray) -> np.ndarray:
        """Rounds to integers where stored values are, and clips to the range."""
        if self.dtype not in FLOATS:
            values = np.rint(values)
        return np.clip(values, self.low, self.high)

    def to_unit(self, values: Array) -> Array:
        """Maps stored values [...] to float32 in [0, 1]."""
        values = values.astype(np.float32)
        if self.low:
            values = values - np.float32(self.low)
        return values / np.float32(self.high - self.low)

    def view(self, values: np.ndarray) -> np.ndarray:
        """Returns uint8 [..., 1, 3 or 4] to look at: the channels that are shown."""
        if not self.measured:
            return values
        return to_uint8(self.to_float(values[..., list(self.shown)]))

    def problem(self, values: np.ndarray, *, stored: bool = True) -> str:
        """Returns why [..., C] are not values of this kind; "" if they are.

        Args:
          values: from a file if `stored`; otherwise they can be of `memory_dtype`, too.
          stored: see there.
        """
        allowed = (self.dtype,) if stored else (self.dtype, self.memory_dtype)
        kind = values.dtype.newbyteorder("=")
        if kind not in allowed:
            return f"its values are {kind}, not {self.dtype}"
        if values.shape[-1] != self.channels:
            return f"it has {_counted(values.shape[-1])}, not {self.channels}"
        if not values.size:
            return f"it is empty ({list(values.shape)})"
        low, high = values.min(), values.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            return "it has values that are not finite (NaN or infinity)"
        if low < self.low or high > self.high:
            return (
                f"its values are {low:.9g} to {high:.9g}, outside the declared range"
                f" {self.low:.9g} to {self.high:.9g}"
            )
        return ""

    @property
    def counted(self) -> str:
        """The number of channels, such as "1 channel"."""
        return _counted(self.channels)

    def describe(self) -> str:
        """Describes the values in a few words, such as "uint16 from 0 to 65535"."""
        return f"{self.dtype} from {self.low:.9g} to {self.high:.9g}"


def _counted(channels):
    return f"{channels} channel{'s' * (channels != 1)}"


PICTURE = Pixels()
"""Pictures of 8 bits, which images are unless a config declares otherwise."""


@dataclasses.dataclass(frozen=True)
class DomainPixels:
    """How the images of both domains are stored: `pixels["a"]`, `pixels["b"]`."""

    a: Pixels = PICTURE
    b: Pixels = PICTURE

    def __getitem__(self, domain: str) -> Pixels:
        return {"a": self.a, "b": self.b}[domain]


PICTURES = DomainPixels()
"""Pictures in both domains."""


def to_float(pixels: Array) -> Array:
    """Maps uint8 [...] to float32 in [-1, 1], as the networks want it."""
    return PICTURE.to_float(pixels)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Maps [-1, 1] to uint8 [...], rounded to the nearest and clipped."""
    return PICTURE.from_float(values)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Makes [..., 1, 3 or 4] channels three; transparency is left out."""
    return np.broadcast_to(pixels[..., :3], (*pixels.shape[:-1], 3))


def sample_grid(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Puts images side by side: a column for each entry, a row for each example.

    Args:
      columns: title -> uint8 [N, H, W, C]; N may differ, missing cells stay empty.

    Returns:
      uint8 [H', W', 3]; small images are enlarged without smoothing.
    """
    side = max(max(images.shape[1:3]) for images in columns.values())
    zoom = max(1, -(-_TILE // side))
    height = max(images.shape[1] for images in columns.values()) * zoom + _GAP
    width = max(images.shape[2] for images in columns.values()) * zoom + _GAP
    rows = max(len(images) for images in columns.values())
    size = (_GAP + width * len(columns), _TITLE + height * rows)
    sheet = Image.new("RGB", size, (245, 245, 244))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, (title, images) in enumerate(columns.items()):
        x = _GAP + number * width
        middle = (x + (width - _GAP) / 2, _TITLE / 2)
        draw.text(middle, title, fill=(60, 60, 64), font=font, anchor="mm")
        for row, image in enumerate(images):
            if image.shape[-1] == 1:
                image = image[..., 0]
            tile = Image.fromarray(image).convert("RGB")
            enlarged = (tile.width * zoom, tile.height * zoom)
            tile = tile.resize(enlarged, Image.Resampling.NEAREST)
            sheet.paste(tile, (x, _TITLE + row * height))
    return np.asarray(sheet)
