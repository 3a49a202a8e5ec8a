"""A data set: the images of two domains, and which of them are used."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.data.palettes import Palette
from cyclegan_jax.data.sources import ImageSource, SubsetSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.images import PICTURE, Pixels
from cyclegan_jax.progress import Progress

SPLITS = ("train_a", "train_b", "test_a", "test_b")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test images of two domains, as stored, of any size.

    Attributes:
      name: the data set's name, as given to `load_dataset`.
      train_a, train_b: training images.
      test_a, test_b: test images; empty sources if the set has none.
      paired_train, paired_test: image i of A and image i of B show the same scene.
      palette: B's images are label maps in these colours; None otherwise.
      pixels_a, pixels_b: how the images of each domain are stored.
      test_class_maps: the classes of test pair i as palette indices, uint8 [H, W], VOID
        for unlabelled pixels; None without a palette.
      train_class_maps: those of image i of train_a; None if unknown.
      masks: split -> the mask of each of its images, uint8 [H, W, 1], 1 where pixels
        are kept; only of splits that have masks.
      left_out: input files that are not used, by reason.
      notes: warnings about likely mistakes, one sentence each.
      drawn: images are made by a program when they are read, none can be damaged.
    """

    name: str
    train_a: ImageSource
    train_b: ImageSource
    test_a: ImageSource
    test_b: ImageSource
    paired_train: bool = False
    paired_test: bool = False
    palette: Palette | None = None
    test_class_maps: ImageSource | None = None
    train_class_maps: ImageSource | None = None
    masks: Mapping[str, ImageSource] = dataclasses.field(default_factory=dict)
    left_out: LeftOut = dataclasses.field(default_factory=LeftOut)
    notes: tuple[str, ...] = ()
    pixels_a: Pixels = PICTURE
    pixels_b: Pixels = PICTURE
    drawn: bool = False

    def pixels(self, split: str) -> Pixels:
        """How images are stored; of a split or a domain, by its last letter."""
        return self.pixels_a if split[-1] == "a" else self.pixels_b


def select(dataset: Dataset, kept: Mapping[str, Sequence[int]], reason: str) -> Dataset:
    """Selects images of each split.

    Args:
      dataset: the data set to select from.
      kept: split -> indices of its images, in the new order; other splits keep all.
      reason: why the other images are left out.
    """
    left_out = LeftOut()
    left_out.merge(dataset.left_out)
    chosen: dict[str, Any] = {}
    for split, indices in kept.items():
        source = getattr(dataset, split)
        for i in sorted(set(range(len(source))) - set(indices)):
            left_out.add(reason, source.names[i])
        chosen[split] = SubsetSource(source, indices)
    for maps, split in (("test_class_maps", "test_b"), ("train_class_maps", "train_a")):
        if split in kept and (source := getattr(dataset, maps)) is not None:
            chosen[maps] = SubsetSource(source, kept[split])
    chosen["masks"] = {
        split: SubsetSource(masks, kept[split]) if split in kept else masks
        for split, masks in dataset.masks.items()
    }
    return dataclasses.replace(dataset, **chosen, left_out=left_out)


def first(dataset: Dataset, count: int) -> Dataset:
    """Keeps the first `count` images of each split."""
    kept = {s: range(len(getattr(dataset, s)))[:count] for s in SPLITS}
    return select(dataset, kept, "beyond config.data.max_images")


def without_unreadable(dataset: Dataset, quiet: bool) -> Dataset:
    """Decodes all images and masks; drops those that fail, and partners in pairs.

    Raises:
      UserError: no image of a split is left.
    """
    kept = {s: _readable(getattr(dataset, s), s, quiet) for s in SPLITS}
    for split, masks in dataset.masks.items():
        readable = set(_readable(masks, f"masks of {split}", quiet))
        kept[split] = [index for index in kept[split] if index in readable]
    for paired, a, b in (
        (dataset.paired_train, "train_a", "train_b"),
        (dataset.paired_test, "test_a", "test_b"),
    ):
        if paired:
            kept[a] = kept[b] = sorted(set(kept[a]) & set(kept[b]))
    for split, indices in kept.items():
        if not indices and len(getattr(dataset, split)):
            raise UserError(f"not one image of {split} can be decoded")
    return select(dataset, kept, "that cannot be decoded, or whose partner cannot")


def _readable(source: ImageSource, split: str, quiet: bool) -> list[int]:
    """Decodes every image once; returns the indices of those that can be decoded."""

    def problem(index: int) -> UnreadableImage | None:
        try:
            source[index]
        except UnreadableImage as error:
            return error
        return None

    kept = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = pool.map(problem, range(len(source)))
        bar = Progress(problems, f"checking {split}", len(source), disable=quiet)
        for index, error in enumerate(bar):
            if error is None:
                kept.append(index)
            else:
                what, bracket, _ = str(error).partition("): ")  # Without the advice.
                Progress.write(f"left out: {what}{bracket[:1]}", file=sys.stderr)
    return kept
