"""How good a generator is on the test split."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from cyclegan_jax import data, images
from cyclegan_jax.metrics import segmentation


def label_scores(
    translate: Callable[[np.ndarray], np.ndarray],
    dataset: data.Dataset,
    transform: data.Preprocess,
    *,
    batch_size: int = 8,
) -> segmentation.Scores:
    """Scores photo -> labels on the test pairs (Zhu et al. 2017, table 3).

    Each pixel of a translated photo gets the class with the nearest palette colour.

    Args:
      translate: maps [B, H, W, C] in [-1, 1] to label images of the same size.
      dataset: with a palette and class maps.
      transform: the run's preprocessing.
      batch_size: images translated at once.
    """
    palette, truth = dataset.palette, dataset.test_class_maps
    counts = np.zeros((len(palette.names),) * 2, np.int64)
    batches = data.eval_images(
        dataset.test_a, data.test_transform(transform), batch_size=batch_size
    )
    index = 0
    for names, photos in batches:
        labels = images.to_uint8(np.asarray(translate(images.to_float(photos))))
        for predicted in palette.nearest(labels):
            counts += segmentation.confusion(
                _resized(truth[index], predicted.shape), predicted, len(palette.names)
            )
            index += 1
        del names
    return segmentation.scores(counts)


def _resized(class_map, shape):
    if class_map.shape == shape:
        return class_map
    image = Image.fromarray(class_map)
    return np.asarray(image.resize(shape[::-1], Image.Resampling.NEAREST))
