"""Scores class maps of generated images against the true classes."""

from collections.abc import Collection, Sequence

import numpy as np

from cyclegan_jax.data.palettes import VOID, Palette
from cyclegan_jax.data.preprocess import resize_nearest
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import segmentation


class Truth:
    """The true class maps of the test pairs, and statistics of them.

    Attributes:
      maps: uint8 [H, W] each, VOID for unlabelled pixels.
      classes: the number of classes.
      present: indices of the classes that occur.
      unknown: share of pixels without a class.
    """

    def __init__(self, maps: Sequence[np.ndarray] | ImageSource, classes: int):
        """Reads all maps once.

        Raises:
          UserError: no pixel has a class.
        """
        self.maps, self.classes = [maps[i] for i in range(len(maps))], classes
        counts = sum(
            (np.bincount(m.reshape(-1), minlength=VOID + 1) for m in self.maps),
            np.zeros(VOID + 1, np.int64),
        )
        self.present = np.flatnonzero(counts[:classes])
        if not len(self.present):
            raise UserError(
                "not one pixel of the test label maps has a colour of the palette; is"
                " it the palette of these data (config.data.palette)?"
            )
        self.unknown = float(counts[classes:].sum() / counts.sum())

    def chance(self) -> dict[str, float]:
        """Returns the scores of other pairs' true maps; empty for a single pair."""
        if len(self.maps) < 2:
            return {}
        counts = np.zeros((self.classes,) * 2, np.int64)
        for index, truth in enumerate(self.maps):
            other = self.maps[(index + 1) % len(self.maps)]
            other = resize_nearest(other, *truth.shape)
            valid = other < self.classes
            counts += segmentation.confusion(
                np.where(valid, truth, VOID), other * valid, self.classes
            )
        return segmentation.scores(counts)._asdict()


class Scorer:
    """Accumulates a confusion matrix over the test pairs, in order."""

    def __init__(self, truth: Truth):
        """Starts at the first pair."""
        self._truth, self._done = truth, 0
        self._counts = np.zeros((truth.classes,) * 2, np.int64)

    def add(self, predicted: np.ndarray) -> None:
        """Adds class maps of the next pairs, uint8 [B, H, W], of any size."""
        for class_map in predicted:
            truth = resize_nearest(self._truth.maps[self._done], *class_map.shape)
            self._counts += segmentation.confusion(
                truth, class_map, self._truth.classes
            )
            self._done += 1

    def scores(self) -> dict[str, float]:
        """Returns per_pixel, per_class and class_iou."""
        return segmentation.scores(self._counts)._asdict()


class LabelReader:
    """Maps each pixel of a label image to the class with the nearest palette colour.

    Only classes that occur in the ground truth count (Zhu et al. 2017, section 5.1.2).
    """

    def __init__(self, palette: Palette, present: Collection[int]):
        """Sets the palette and the indices of the classes that occur."""
        self._present = np.asarray(present, np.uint8)
        self._known = palette.subset(present)

    def __call__(self, label_images: np.ndarray) -> np.ndarray:
        """Maps uint8 [B, H, W, 3] to class indices uint8 [B, H, W]."""
        return self._present[self._known.nearest(label_images)]
