"""Label maps made by a generator, scored against the true classes."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cyclegan_jax.metrics import segmentation
from cyclegan_jax.palettes import Palette


class Scorer:
    """Adds up a confusion matrix over the test pairs (Zhu et al. 2017, table 3).

    Each pixel of a label image gets the class with the nearest palette colour, out of
    the classes that occur in the truth.
    """

    def __init__(self, palette: Palette, truth: Sequence[np.ndarray]):
        """Starts at the first pair.

        Args:
          palette: the classes' colours.
          truth: class maps uint8 [H, W], one a pair; classes beyond the palette's do
            not count.
        """
        self._truth, self._palette = truth, palette
        self._count = len(palette.names)
        found = np.unique(np.concatenate([np.unique(class_map) for class_map in truth]))
        self._classes = found[found < self._count]
        self._known = palette.subset(self._classes)
        self._counts = np.zeros((self._count,) * 2, np.int64)
        self._done = 0

    def add(self, label_images: np.ndarray) -> None:
        """Adds the next pairs' label images, uint8 [B, H, W, 3]."""
        for predicted in self._classes[self._known.nearest(label_images)]:
            class_map = resized(self._truth[self._done], predicted.shape)
            self._counts += segmentation.confusion(class_map, predicted, self._count)
            self._done += 1

    def scores(self) -> dict[str, float]:
        """Returns per_pixel, per_class and class_iou."""
        return segmentation.scores(self._counts)._asdict()

    def chance(self) -> dict[str, float]:
        """Returns the scores that the true maps of other pairs would get."""
        chance = np.zeros_like(self._counts)
        for index in range(self._done):  # Each with the next one's: labels by chance.
            truth = self._truth[index]
            other = resized(self._truth[(index + 1) % self._done], truth.shape)
            valid = other < self._count
            chance += segmentation.confusion(
                np.where(valid, truth, self._count), other * valid, self._count
            )
        return segmentation.scores(chance)._asdict()


def resized(class_map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Brings a class map uint8 [H, W] to another size, by the nearest pixel."""
    if class_map.shape == shape:
        return class_map
    image = Image.fromarray(class_map)
    return np.asarray(image.resize(shape[::-1], Image.Resampling.NEAREST))
