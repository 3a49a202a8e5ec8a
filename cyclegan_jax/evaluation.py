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

    Each pixel of a translated photo gets the class with the nearest palette colour, out
    of the classes that the test split contains.

    Args:
      translate: maps [B, H, W, C] in [-1, 1] to label images of the same size.
      dataset: with a palette and class maps.
      transform: the run's preprocessing.
      batch_size: images translated at once.
    """
    truth = dataset.test_class_maps
    classes = np.unique(np.concatenate([np.unique(class_map) for class_map in truth]))
    classes = classes[classes < len(dataset.palette.names)]  # Others are "unlabelled".
    palette = dataset.palette.subset(classes)
    counts = np.zeros((len(dataset.palette.names),) * 2, np.int64)
    batches = data.eval_images(
        dataset.test_a, data.test_transform(transform), batch_size=batch_size
    )
    index = 0
    for _, photos in batches:
        labels = images.to_uint8(np.asarray(translate(images.to_float(photos))))
        for predicted in classes[palette.nearest(labels)]:
            class_map = _resized(truth[index], predicted.shape)
            counts += segmentation.confusion(class_map, predicted, len(counts))
            index += 1
    return segmentation.scores(counts)


def _resized(class_map, shape):
    if class_map.shape == shape:
        return class_map
    image = Image.fromarray(class_map)
    return np.asarray(image.resize(shape[::-1], Image.Resampling.NEAREST))
