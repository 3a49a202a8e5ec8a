"""Pairs in one image: A on the left, B on the right."""

from collections.abc import Collection, Mapping

import numpy as np

from cyclegan_jax.data.dataset import SPLITS
from cyclegan_jax.data.decode import Decoder, UnreadableImage
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.data.splits import Opened, beside, locate, split_folder
from cyclegan_jax.data.trees import Tree
from cyclegan_jax.errors import UserError

_LOOKED_AT = 8  # Images examined by `looks_ordinary`.
_NEAR = 4  # Columns on each side that the middle is compared with.


class HalfSource:
    """The left or the right half of each image of `whole`.

    Attributes:
      names: those of `whole`.
      whole: the images side by side.
    """

    def __init__(self, whole: ImageSource, half: int):
        """Args: images side by side; 0 for the left one, 1 for the right one."""
        self.names, self.whole, self._half = whole.names, whole, half

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self.whole[index]
        width = image.shape[1]
        if width % 2:
            raise UserError(
                f"image {self.names[index]} is {width} pixels wide, which two images"
                " side by side cannot share evenly"
            )
        start = self._half * (width // 2)
        return image[:, start : start + width // 2]

    def content(self, index: int) -> bytes:
        """The encoded bytes of the whole image."""
        return self.whole.content(index)


def open_side_by_side(
    tree: Tree, decoders: Mapping[str, Decoder], splits: Collection[str] = SPLITS
) -> Opened[HalfSource]:
    """Opens train and, if it has tests, test or val.

    As in the pix2pix authors' data sets, each image shows A on the left and B on the
    right.

    Args:
      tree: a folder or an archive.
      decoders: by split ("train_a", "train_b", "test_a", "test_b").
      splits: those to open.

    Returns:
      The sources by split; without "test_a" and "test_b" if there are no test images.

    Raises:
      UserError: training images are requested, but train has none.
    """

    def find(tree: Tree, base: str) -> dict[str, str]:
        folders = {kind: split_folder(tree, base, kind) for kind in ("train", "test")}
        return {kind: folder for kind, folder in folders.items() if folder}

    base, folders = locate(tree, find)
    needed = "train" if "train_a" in splits or "train_b" in splits else "test"
    if needed not in folders:
        raise UserError(
            f"{tree.where} has no images in {needed}; pairs side by side are expected"
            " in train, and those to test in test or val"
        )
    sources, left_out = {}, beside(tree, base, folders.values())
    for kind, folder in folders.items():
        for half, letter in enumerate("ab"):
            split = f"{kind}_{letter}"
            if split in splits:
                both = tree.source(folder, decoders[split], base)
                sources[split] = HalfSource(both, half)
        if f"{kind}_a" in splits:
            left_out.merge(both.left_out)
    return Opened(sources, left_out)


def looks_ordinary(source: ImageSource) -> bool:
    """Whether images look like ordinary ones, not like two side by side.

    Two images have a seam in the middle, where colours change more than anywhere near
    it. Images that are uniform there, such as drawings on white, are inconclusive.

    Args:
      source: whole images; a few of them are examined.
    """
    indices = np.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source)))
    verdicts = []
    for index in sorted(set(indices.astype(int).tolist())):
        try:
            image = source[index].astype(float)
        except UnreadableImage:  # Reported when it is used.
            continue
        middle = image.shape[1] // 2
        if middle <= _NEAR or image.shape[1] % 2:
            continue
        strip = image[:, middle - 1 - _NEAR : middle + 1 + _NEAR]
        change = np.abs(np.diff(strip, axis=1)).mean(axis=(0, 2))
        usual = np.delete(change, _NEAR).max()
        if usual > 1:  # A uniform middle is inconclusive.
            verdicts.append(change[_NEAR] < 1.5 * usual)
    return len(verdicts) > 0 and sum(verdicts) > len(verdicts) / 2
