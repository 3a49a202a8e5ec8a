"""Data sets whose domain B are label maps: colours become classes."""

import dataclasses
import functools
import os
from collections.abc import Mapping

from cyclegan_jax.data import sources
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.pairs import by_name
from cyclegan_jax.data.palettes import CITYSCAPES, LABEL_DISTANCE, Palette
from cyclegan_jax.errors import UserError


def palette_of(name: str, path: str | os.PathLike) -> Palette | None:
    """Returns the colours of a data set's label maps, if B consists of label maps.

    Args:
      name: of the data set.
      path: of a palette file, or "".

    Raises:
      UserError: the file is not a palette, or the data set is `streets`, which has one.
    """
    if path and name == "streets":
        raise UserError("streets has its own classes: leave config.data.palette empty")
    if path:
        return Palette.from_file(path)
    return CITYSCAPES if name == "cityscapes" else None


def read_as_labels(
    dataset: Dataset, palette: Palette, channels: Mapping[str, int]
) -> Dataset:
    """Reads the images of B as label maps.

    Args:
      dataset: with images of B in colour; its test images, if any, are pairs.
      palette: the colours of the classes.
      channels: split -> channels that its images are converted to afterwards.
    """

    def class_maps(images: sources.ImageSource) -> sources.ImageSource | None:
        read = functools.partial(palette.nearest, within=LABEL_DISTANCE)
        return sources.MappedSource(images, read) if len(images) else None

    partners = dict(by_name(dataset.train_a.names, dataset.train_b.names))
    if dataset.paired_train:
        partners = {i: i for i in range(len(dataset.train_a))}
    labels = None
    if len(partners) == len(dataset.train_a):  # Otherwise some classes are unknown.
        order = [partners[i] for i in range(len(partners))]
        labels = class_maps(sources.SubsetSource(dataset.train_b, order))
    return dataclasses.replace(
        dataset,
        palette=palette,
        test_class_maps=class_maps(dataset.test_b) if dataset.paired_test else None,
        train_class_maps=labels,
        train_b=sources.as_channels(dataset.train_b, channels["train_b"]),
        test_b=sources.as_channels(dataset.test_b, channels["test_b"]),
    )
