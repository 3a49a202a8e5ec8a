"""Scores of label maps: per-pixel accuracy, per-class accuracy, class IoU.

Long et al. 2015 define them; Zhu et al. 2017 use them in tables 2 to 5. K is the
number of classes.
"""

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """The three numbers of the paper's tables, each in [0, 1].

    Attributes:
      per_pixel: share of pixels with the right class.
      per_class: mean over classes of recall.
      class_iou: mean over classes of intersection over union.
    """

    per_pixel: float
    per_class: float
    class_iou: float


def confusion(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Counts pixels by true and predicted class.

    Args:
      truth: [...] integer class of each pixel; pixels outside 0 ... K-1 do not count.
      prediction: the same shape, each in 0 ... K-1.
      classes: K.

    Returns:
      int64 [K, K], true class by predicted class.

    Raises:
      ValueError: the shapes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"shapes differ: {truth.shape} and {prediction.shape}")
    valid = (truth >= 0) & (truth < classes)
    pairs = classes * truth[valid].astype(np.int64) + prediction[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def scores(counts: np.ndarray) -> Scores:
    """Returns the scores of a confusion matrix, over the classes that occur in truth.

    Args:
      counts: [K, K] from `confusion`, of at least one pixel.
    """
    right = np.diag(counts).astype(np.float64)
    truth, prediction = counts.sum(axis=1), counts.sum(axis=0)
    present = truth > 0
    union = truth + prediction - right
    return Scores(
        per_pixel=float(right.sum() / counts.sum()),
        per_class=float(np.mean(right[present] / truth[present])),
        class_iou=float(np.mean(right[present] / union[present])),
    )
