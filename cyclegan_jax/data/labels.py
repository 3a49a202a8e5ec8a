"""Data sets whose domain B are label maps: colours become classes."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from cyclegan_jax.data import sources
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.pairs import same_scenes
from cyclegan_jax.data.palettes import CITYSCAPES, LABEL_DISTANCE, Palette
from cyclegan_jax.errors import UserError


def palette_of(name: str, path: str | os.PathLike) -> Palette | None:
    """Returns the colours of a data set's label maps, if its images of B are such.

    Args:
      name: of the data set.
      path: of a palette file, or "".

    Raises:
      UserError: the file is no palette, or the set is `streets`, which knows its own.
    """
    if path and name == "streets":
        raise UserError("streets has its own classes: leave config.data.palette empty")
    if path:
        return Palette.from_file(path)
    return CITYSCAPES if name == "cityscapes" else None


def read_as_labels(
    dataset: Dataset, palette: Palette, channels: Mapping[str, int]
) -> dict[str, Any]:
    """Returns the fields of a data set that change when B is read as label maps.

    Args:
      dataset: its images of B in colour.
      palette: their colours.
      channels: split -> channels that its images are then converted to.

    Raises:
      UserError: the test split is not of pairs.
    """
    if len(dataset.test_a) != len(dataset.test_b):
        raise UserError(
            f"{dataset.name} has {len(dataset.test_a)} test photos and "
            f"{len(dataset.test_b)} test label maps; label maps need pairs"
        )
    # Cityscapes' own names differ by their endings; only their order pairs them.
    if dataset.name != "cityscapes" and not same_scenes(dataset.test_a, dataset.test_b):
        raise UserError(
            f"the test images of A and B of {dataset.name} are not named in pairs, "
            "such as 12_A.jpg and 12_B.png; label maps (config.data.palette) need that"
        )

    def class_maps(images):
        read = functools.partial(palette.nearest, within=LABEL_DISTANCE)
        return sources.MappedSource(images, read) if len(images) else None

    paired = same_scenes(dataset.train_a, dataset.train_b)
    return {
        "paired_train": paired,
        "paired_test": bool(len(dataset.test_b)),
        "palette": palette,
        "test_class_maps": class_maps(dataset.test_b),
        "train_class_maps": class_maps(dataset.train_b) if paired else None,
        "train_b": sources.as_channels(dataset.train_b, channels["train_b"]),
        "test_b": sources.as_channels(dataset.test_b, channels["test_b"]),
    }
