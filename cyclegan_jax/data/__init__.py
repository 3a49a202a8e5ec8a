"""Images in, batches out: data sets, preprocessing, and the training stream."""

from cyclegan_jax.data.cache import CachedSource
from cyclegan_jax.data.dataset import SPLITS, Dataset
from cyclegan_jax.data.datasets import load_dataset, open_dataset
from cyclegan_jax.data.decode import decode_image
from cyclegan_jax.data.pipeline import TrainBatches, eval_images
from cyclegan_jax.data.preprocess import Preprocess, test_transform
from cyclegan_jax.data.ranges import declared
from cyclegan_jax.data.settings import DataSettings
from cyclegan_jax.data.sources import ImageSource

__all__ = [
    "SPLITS",
    "CachedSource",
    "DataSettings",
    "Dataset",
    "ImageSource",
    "Preprocess",
    "TrainBatches",
    "declared",
    "decode_image",
    "eval_images",
    "load_dataset",
    "open_dataset",
    "test_transform",
]
