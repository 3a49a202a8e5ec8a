"""From a stored image to a training or test image, as in the published code.

The work is split in two. `load` is deterministic and expensive (a bicubic resize), so
its result can be cached; `augment` is random and cheap (a crop and a flip).
Modes and arithmetic are those of `get_transform` in the published PyTorch code.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from cyclegan_jax.errors import UserError
from cyclegan_jax.images import PICTURE, Pixels

Mode = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How images become training images.

    Attributes:
      mode: `resize_and_crop`: to load_size x load_size, ignoring the aspect ratio, then
        a random crop; `crop`: a random crop of the stored image; `scale_width`: to
        width load_size, keeping the aspect ratio; `scale_width_and_crop`: both; `none`:
        as stored. Without a crop, both sides are rounded to multiples of `multiple`.
      load_size: the side or width to resize to, in pixels.
      crop_size: the side of the random crop, in pixels; with
        `scale_width`, the minimum height.
      flip: flip left to right with probability 1/2.
      multiple: divisor of height and width that the generator needs: 4 for ResNet,
        2^downsamplings for U-Net.
    """

    mode: Mode = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    multiple: int = 4

    def __post_init__(self):
        if self.mode not in Mode.__args__:
            raise UserError(
                f"preprocess is {self.mode!r}; it can be {', '.join(Mode.__args__)}"
            )
        if min(self.load_size, self.crop_size, self.multiple) < 1:
            raise UserError(
                f"load_size ({self.load_size}), crop_size ({self.crop_size}) and "
                f"multiple ({self.multiple}) must be at least 1"
            )
        if self._crops and self.crop_size % self.multiple:
            raise UserError(
                f"crop_size is {self.crop_size}; the networks need a multiple of "
                f"{self.multiple}"
            )

    @property
    def _crops(self) -> bool:
        return self.mode.endswith("crop")

    def load(
        self, image: np.ndarray, name: str = "", pixels: Pixels = PICTURE
    ) -> np.ndarray:
        """The deterministic part: a bicubic resize with antialiasing.

        Args:
          image: [H, W, C], as stored.
          name: the image's name, for the error message.
          pixels: how it is stored.

        Returns:
          [H', W', C], of the same type.

        Raises:
          UserError: the result is smaller than the crop.
        """
        image = resize(image, *self._load_shape(*image.shape[:2]), pixels)
        height, width = image.shape[:2]
        if self._crops and min(height, width) < self.crop_size:
            raise UserError(
                f"image {name} is {width}x{height} after loading, smaller than the "
                f"crop of {self.crop_size}x{self.crop_size}: lower "
                "config.data.crop_size, or use "
                "config.data.preprocess='resize_and_crop' with a larger load_size"
            )
        return image

    def augment(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The random part: a crop, then a flip with probability 1/2.

        Args:
          image: [H, W, C] from `load`.
          rng: always three numbers are drawn, so that later draws do not depend on the
            options.

        Returns:
          A view of `image`, [H', W', C].
        """
        return self._cut(image, *rng.random(3))

    def augment_pair(
        self, a: np.ndarray, b: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Like `augment`, with the same crop and flip for both images of a pair.

        Raises:
          UserError: the images differ in size.
        """
        if a.shape[:2] != b.shape[:2]:
            raise UserError(
                f"the images of a pair have {_size(a)} and {_size(b)} pixels: paired "
                "training needs pairs of one size, which "
                "config.data.preprocess='resize_and_crop' makes of them"
            )
        draws = rng.random(3)
        return self._cut(a, *draws), self._cut(b, *draws)

    def _load_shape(self, height: int, width: int) -> tuple[int, int]:
        if self.mode == "resize_and_crop":
            return self.load_size, self.load_size
        if self.mode.startswith("scale_width"):
            height, width = self._scaled(height, width)
        if self._crops:
            return height, width
        return _round(height, self.multiple), _round(width, self.multiple)

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        return int(max(self.load_size * height / width, self.crop_size)), self.load_size

    def _cut(
        self, image: np.ndarray, top: float, left: float, mirror: float
    ) -> np.ndarray:
        """Crops and flips according to three numbers in [0, 1)."""
        if self._crops:
            size = self.crop_size
            y = int(top * (image.shape[0] - size + 1))
            x = int(left * (image.shape[1] - size + 1))
            image = image[y : y + size, x : x + size]
        return image[:, ::-1] if self.flip and mirror < 0.5 else image


def test_transform(
    preprocess: Preprocess,
    pixels: Pixels = PICTURE,  # noqa: PT028 (it is no test)
) -> Callable[..., np.ndarray]:
    """The deterministic transform of test images: no crop, no flip.

    `resize_and_crop` becomes a resize to crop_size x crop_size (the published test
    options). `scale_width` and `scale_width_and_crop` scale to width load_size, `crop`
    and `none` keep the size; then the whole image is used, its sides rounded to
    multiples of `multiple`.

    Args:
      preprocess: of training images.
      pixels: how the images are stored.

    Returns:
      A function like `Preprocess.load`: ([H, W, C] as stored, name) to [H', W', C].
    """
    if preprocess.mode == "resize_and_crop":
        changed = dataclasses.replace(preprocess, load_size=preprocess.crop_size)
    else:
        scales = preprocess.mode.startswith("scale_width")
        changed = dataclasses.replace(
            preprocess, mode="scale_width" if scales else "none"
        )
    return functools.partial(changed.load, pixels=pixels)


# pytest collects names that begin with "test" wherever they are imported.
test_transform.__dict__["__test__"] = False


def resize(
    image: np.ndarray, height: int, width: int, pixels: Pixels = PICTURE
) -> np.ndarray:
    """Resizes [H, W, C] with Pillow's antialiased bicubic filter.

    Measured values are resized channel by channel in float32, and stay in their range.

    Returns:
      [height, width, C] of the same type; the same array if it has that size already.
    """
    if image.shape[:2] == (height, width):
        return image
    if pixels.measured:
        planes = [
            np.asarray(
                Image.fromarray(image[..., channel].astype(np.float32)).resize(
                    (width, height), Image.Resampling.BICUBIC
                )
            )
            for channel in range(image.shape[-1])
        ]
        return pixels.fit(np.stack(planes, axis=-1)).astype(image.dtype)
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    resized = Image.fromarray(squeezed).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.asarray(resized).reshape(height, width, image.shape[-1])


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes uint8 [H, W] to the values of the nearest pixels: classes, or masks."""
    if values.shape == (height, width):
        return values
    image = Image.fromarray(values)
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def _round(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
