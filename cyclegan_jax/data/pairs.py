"""Pairs the images of two folders by their names."""

import dataclasses
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from cyclegan_jax.data.dataset import Dataset, select
from cyclegan_jax.data.formats import LeftOut, printable
from cyclegan_jax.data.settings import DataSettings
from cyclegan_jax.data.sources import ImageSource, SubsetSource
from cyclegan_jax.errors import UserError

# Words that name the side of a pair, not the pair: those of Cityscapes, of the CycleGAN
# authors, and other common ones.
_SIDES = frozenset(
    (
        *("a", "b", "real", "fake", "input", "output", "in", "out", "target"),
        *("source", "src", "photo", "photos", "image", "images", "img", "imgs", "rgb"),
        *("label", "labels", "labelids", "trainids", "labelmap", "map", "maps"),
        *("mask", "masks", "seg", "segmentation", "semantic", "gt", "groundtruth"),
        *("leftimg8bit", "gtfine", "gtcoarse", "color", "colour", "colors"),
        *("edge", "edges", "sketch", "sketches", "left", "right", "before", "after"),
    )
)
_SEPARATORS = re.compile(r"[\s_.\-]+")
_LETTER = re.compile(r"(?<=\d)[ab]$")


def by_name(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Finds the pairs of two lists of files: equal names up to the words for a side.

    Case, separators, the Unicode form of accents, leading zeros, and words such as
    ``_A`` and ``_B``, ``real_`` and ``fake_``, or ``_leftImg8bit`` and
    ``_gtFine_color`` are ignored; so are folders, unless names are ambiguous without
    them. Names shared by several files are not paired.

    Args:
      a: names of the images of A, relative, with slashes.
      b: names of the images of B.

    Returns:
      (index in `a`, index in `b`) of each pair, in the order of `a`.
    """
    best: list[tuple[int, int]] = []
    below = [_below_common(names) for names in (a, b)]
    alone = [[PurePosixPath(name).name for name in names] for names in below]
    for rewrite in (str, _without_side, _without_zeros):
        for names in (below, alone):
            matched = _match(*([_rewrite(n, rewrite) for n in side] for side in names))
            if len(matched) == max(len(a), len(b)):
                return matched
            best = max(best, matched, key=len)
    return best


def match(a: ImageSource, b: ImageSource, *, order: bool) -> list[tuple[int, int]]:
    """Pairs the images of two sources.

    Args:
      a: images of A.
      b: images of B.
      order: pair image i with image i, ignoring names.

    Returns:
      The indices of each pair. Some images may have no partner.

    Raises:
      UserError: the counts differ (with `order`), or fewer than half of the names
        match.
    """
    if order:
        if len(a) != len(b):
            raise UserError(
                f"config.data.pairs is order, but there are {len(a)} images of A and"
                f" {len(b)} of B"
            )
        return [(i, i) for i in range(len(a))]
    matched = by_name(a.names, b.names)
    if 2 * len(matched) < min(len(a), len(b)) or not matched:
        names = printable(f"{a.names[0]} and {b.names[0]}")
        raise UserError(
            f"the names do not say which images of A and B are pairs ({names}, ...):"
            f" {len(matched)} of {len(a)} and {len(b)} images are named alike. Give the"
            " two images of a pair one name, or 12_A and 12_B, or set"
            " config.data.pairs=order if their order is what pairs them"
        )
    return matched


def with_masks(
    images: ImageSource, masks: ImageSource, left_out: LeftOut
) -> ImageSource:
    """Finds the mask of each image by its name.

    Args:
      images: of a split.
      masks: those in the folder beside it.
      left_out: masks of no image are added to it.

    Returns:
      The masks, in the order of the images.

    Raises:
      UserError: an image has no mask.
    """
    matched = dict(by_name(images.names, masks.names))
    missing = [n for i, n in enumerate(images.names) if i not in matched]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(images)} images have no mask, such as"
            f" {printable(missing[0])} (masks are named {printable(masks.names[0])},"
            " ...): give each mask the name of its image, and an image of which nothing"
            " is kept a black one"
        )
    for index in sorted(set(range(len(masks))) - set(matched.values())):
        left_out.add("mask of no image", masks.names[index])
    return SubsetSource(masks, [matched[i] for i in range(len(images))])


def same_scenes(a: ImageSource, b: ImageSource) -> bool:
    """Whether for every i the names of image i of A and of B match."""
    return by_name(a.names, b.names) == [(i, i) for i in range(max(len(a), len(b)))]


def keep_pairs(dataset: Dataset, settings: DataSettings, *, labelled: bool) -> Dataset:
    """Keeps only pairs in the training and test images, where they are paired.

    Args:
      dataset: with all its images.
      settings: whether they are pairs, and how these are known.
      labelled: whether the images of B are label maps.

    Raises:
      UserError: there are no such pairs.
    """
    # The authors' other data sets are unpaired, whatever their file names.
    known = dataset.name in ("cycle_gan/maps", "cycle_gan/facades")
    never = dataset.name.startswith("cycle_gan/") and not known
    if never and (settings.paired or settings.paired_test):
        which = "paired" if settings.paired else "paired_test"
        raise UserError(
            f"{dataset.name} has no pairs to train on or to test (config.data.{which}):"
            " its images of A and B do not belong together"
        )
    if settings.paired and not dataset.paired_train:
        dataset = _keep(dataset, "train", settings)
    elif labelled or known:
        same = same_scenes(dataset.train_a, dataset.train_b)
        dataset = dataclasses.replace(dataset, paired_train=same)
    if dataset.paired_test or not (len(dataset.test_a) and len(dataset.test_b)):
        return dataset
    if settings.paired_test or labelled:
        return _keep(dataset, "test", settings)
    if settings.paired or known:
        try:
            return _keep(dataset, "test", settings)
        except UserError:  # Pairs were not requested.
            note = "the test images are not named in pairs, and are not compared so"
            return dataclasses.replace(dataset, notes=(*dataset.notes, note))
    return dataset


def _keep(dataset: Dataset, kind: str, settings: DataSettings) -> Dataset:
    a, b = f"{kind}_a", f"{kind}_b"
    both = getattr(dataset, a), getattr(dataset, b)
    if not (len(both[0]) and len(both[1])):  # A split that is not requested.
        return dataset
    matched = match(*both, order=settings.pairs == "order")
    kept = {a: [i for i, _ in matched], b: [j for _, j in matched]}
    chosen = select(dataset, kept, "without a partner")
    paired: dict[str, Any] = {f"paired_{kind}": True}
    return dataclasses.replace(chosen, **paired)


def _below_common(names: Sequence[str]) -> list[str]:
    """Names without their common parent folders."""
    folders = [os.path.dirname(name) for name in names]
    common = os.path.commonpath(folders) if names and all(folders) else ""
    return [name[len(common) :].lstrip("/") for name in names]


def _match(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    once_a, once_b = (
        {k for k, n in Counter(keys).items() if n == 1} for keys in (a, b)
    )
    where = {key: j for j, key in enumerate(b) if key in once_b}
    return [(i, where[key]) for i, key in enumerate(a) if key in once_a & where.keys()]


def _rewrite(name: str, rewrite: Callable[[str], str]) -> str:
    """Applies a function to each part of a path, the last without its extension."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return "/".join(rewrite(part) for part in (*path.parts[:-1], path.stem))


def _without_side(part: str) -> str:
    words = [w for w in _SEPARATORS.split(part.casefold()) if w]
    while len(words) > 1 and words[-1] in _SIDES:
        words.pop()
    while len(words) > 1 and words[0] in _SIDES:
        words.pop(0)
    if words:
        words[-1] = _LETTER.sub("", words[-1])
    return "_".join(words)


def _without_zeros(part: str) -> str:
    return re.sub(r"0*(\d+)", r"\1", _without_side(part))
