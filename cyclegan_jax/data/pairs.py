"""Pairs of images: side by side in one file, or in two folders by their names."""

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
from etils import epath

from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.sources import ImageSource, folder_source
from cyclegan_jax.errors import UserError


class HalfSource:
    """The left or the right half of each image of `source`.

    Attributes:
      names: those of `source`.
    """

    def __init__(self, source: ImageSource, half: int):
        """Args: images side by side; 0 for the left one, 1 for the right one."""
        self.names, self._source, self._half = source.names, source, half

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self._source[index]
        width = image.shape[1]
        if width % 2:
            raise UserError(
                f"image {self.names[index]} is {width} pixels wide, which two images"
                " side by side cannot share evenly"
            )
        start = self._half * (width // 2)
        return image[:, start : start + width // 2]


def open_side_by_side(
    path: str | os.PathLike, channels: Mapping[str, int]
) -> dict[str, ImageSource]:
    """Opens a folder or zip archive with train and, if it has tests, test or val.

    As in the pix2pix authors' data sets, an image shows A on the left and B on the
    right.

    Args:
      path: the folder or archive.
      channels: channels by split ("train_a", "train_b", "test_a", "test_b").

    Returns:
      The sources by split; without "test_a" and "test_b" if there are no tests.

    Raises:
      UserError: there is no such path, or no image in train.
    """
    path = epath.Path(path).expanduser()
    if not path.exists():
        raise UserError(f"there is no {path} (config.data.path)")
    archive = None if path.is_dir() else Archive(path)

    def has(folder):
        return archive.under(folder) if archive else (path / folder).is_dir()

    def source(folder, split):
        if archive:
            return archive.source(folder, channels=channels[split])
        return folder_source(path / folder, channels=channels[split], root=path)

    if not has("train"):
        raise UserError(
            f"{path} has no images in train; pairs side by side are expected in train,"
            " and those to test in test or val"
        )
    opened = {}
    for split, folders in (("train", ("train",)), ("test", ("test", "val"))):
        if folder := next(filter(has, folders), None):
            for half, letter in enumerate("ab"):
                both = source(folder, f"{split}_{letter}")
                opened[f"{split}_{letter}"] = HalfSource(both, half)
    return opened


# What follows the name of a scene: the CycleGAN authors' endings, and Cityscapes'.
_ENDINGS = (("_A", "_leftImg8bit"), ("_B", "_gtFine_color"))


def same_scenes(a: ImageSource, b: ImageSource) -> bool:
    """Whether files are named in pairs, like 12_A.jpg and 12_B.jpg, or 12 and 12."""

    def scenes(source: ImageSource, endings: tuple[str, ...]) -> list[str]:
        found = []
        for name in source.names:
            stem = PurePosixPath(name).stem
            ending = next(filter(stem.endswith, endings), "")
            found.append(stem.removesuffix(ending))
        return found

    first, second = _ENDINGS
    return scenes(a, first) == scenes(b, second)


def check_pairs(a: ImageSource, b: ImageSource) -> None:
    """Checks that two folders hold pairs: files of the same names, or 1_A and 1_B.

    Raises:
      UserError: they do not.
    """
    if len(a) != len(b):
        raise UserError(
            f"paired training needs as many images of A as of B, not {len(a)} and"
            f" {len(b)}"
        )
    if not same_scenes(a, b):
        raise UserError(
            f"the names do not say which images of A and B are pairs ({a.names[0]} and"
            f" {b.names[0]}, ...): give the two images of a pair one name, or put them"
            " side by side into one image (config.data.dataset=side_by_side)"
        )
