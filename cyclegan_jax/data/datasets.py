"""Data sets by name: where their images come from, and which belong together."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cyclegan_jax.data import labels, masks, pairs, sources
from cyclegan_jax.data.dataset import (
    SPLITS,
    Dataset,
    first,
    without_unreadable,
)
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.data.settings import DataSettings
from cyclegan_jax.data.side_by_side import looks_ordinary, open_side_by_side
from cyclegan_jax.data.splits import Opened, open_masks, open_splits
from cyclegan_jax.data.trees import open_tree
from cyclegan_jax.errors import UserError


def load_dataset(
    name: str,
    *,
    splits: Collection[str] = SPLITS,
    quiet: bool = False,
    **settings: Any,
) -> Dataset:
    """Opens a data set by name: `open_dataset` of `DataSettings(name, **settings)`."""
    return open_dataset(DataSettings(name, **settings), splits=splits, quiet=quiet)


def open_dataset(
    settings: DataSettings, *, splits: Collection[str] = SPLITS, quiet: bool = False
) -> Dataset:
    """Opens a data set.

    Args:
      settings: which one, where it is, and how it is read.
      splits: the splits to open; the others are empty and need not exist.
      quiet: Show no progress bar.

    Returns:
      The data set. Images are decoded lazily, unless `on_corrupt` is "skip".

    Raises:
      UserError: No such data set, no images, or no pairs.
    """
    name = settings.name
    palette = labels.palette_of(name, settings.palette)
    # Label maps are always opened in colour, because classes are colours.
    decoders = settings.decoders(("train_b", "test_b") if palette else ())
    kind = name.partition("/")[0]
    dataset = _KINDS[kind](settings, decoders, splits, quiet)
    dataset = pairs.keep_pairs(dataset, settings, labelled=palette is not None)
    if palette:
        channels = {split: settings.channels(split) for split in SPLITS}
        dataset = labels.read_as_labels(dataset, palette, channels)
    dataset = dataclasses.replace(
        dataset, pixels_a=settings.pixels("a"), pixels_b=settings.pixels("b")
    )
    if decoder := settings.mask_decoder:
        notes = (*dataset.notes, *masks.notes(dataset, splits, decoder))
        dataset = dataclasses.replace(dataset, notes=notes)
    if settings.max_images:
        dataset = first(dataset, settings.max_images)
    if settings.on_corrupt == "skip" and name != "streets":
        dataset = without_unreadable(dataset, quiet)
    return dataset


def _dataset(name: str, opened: Opened[sources.ImageSource], **about: Any) -> Dataset:
    """Makes a Dataset of the splits that exist."""
    if not opened.sources:  # Training images are not requested, or exist.
        raise UserError(f"{name} has no test images (testA and testB).")
    none = sources.SubsetSource(next(iter(opened.sources.values())), ())
    train_a, train_b, test_a, test_b = (opened.sources.get(s, none) for s in SPLITS)
    left_out = opened.left_out
    about["masks"] = {
        split: pairs.with_masks(opened.sources[split], found, left_out)
        for split, found in opened.masks.items()
    }
    return Dataset(name, train_a, train_b, test_a, test_b, left_out=left_out, **about)


def _folder(
    settings: DataSettings,
    decoders: Mapping[str, Decoder],
    splits: Collection[str],
    quiet: bool,
) -> Dataset:
    if not (folders := settings.chosen_folders):
        tree = open_tree(settings.path)
        opened = open_splits(tree, decoders, splits, settings.mask_decoder)
        return _dataset(settings.name, opened)
    if unknown := sorted(set(folders) - set(SPLITS)):
        raise UserError(f"there is no split {unknown[0]!r}, only {', '.join(SPLITS)}")
    if missing := [s for s in splits if s.startswith("train") and s not in folders]:
        raise UserError(
            f"config.data.{' and '.join(missing)} is not given, only"
            f" {', '.join(sorted(folders))}"
        )
    left_out = LeftOut()
    chosen: dict[str, sources.EncodedSource] = {}
    chosen_masks: dict[str, sources.EncodedSource] = {}
    for split in splits:
        if split in folders:
            source = sources.folder_source(folders[split], decoder=decoders[split])
            left_out.merge(source.left_out)
            chosen[split] = source
            if (found := open_masks(folders[split], settings.mask_decoder)) is not None:
                left_out.merge(found.left_out)
                chosen_masks[split] = found
    if not chosen:
        raise UserError(f"none of config.data.{', '.join(splits)} is given")
    return _dataset(settings.name, Opened(chosen, left_out, chosen_masks))


def _side_by_side(
    settings: DataSettings,
    decoders: Mapping[str, Decoder],
    splits: Collection[str],
    quiet: bool,
) -> Dataset:
    opened = open_side_by_side(open_tree(settings.path), decoders, splits)
    have = opened.sources
    halves = next(iter(have.values()))
    notes: tuple[str, ...] = ()
    if looks_ordinary(halves.whole):
        notes = (
            f"the pictures of {settings.path} look like ordinary ones, not like two"
            " side by side, and are cut in halves: config.data.dataset=folder is for"
            " ordinary pictures",
        )
    return _dataset(
        settings.name,
        opened,
        paired_train="train_a" in have and "train_b" in have,
        paired_test="test_a" in have and "test_b" in have,
        notes=notes,
    )


def _streets(
    settings: DataSettings,
    decoders: Mapping[str, Decoder],
    splits: Collection[str],
    quiet: bool,
) -> Dataset:
    from cyclegan_jax.data.palettes import CITYSCAPES
    from cyclegan_jax.data.streets import Split, StreetsSource

    drawn = settings.streets_size, settings.streets_seed, settings.streets_look
    train, test = settings.streets_train_count, settings.streets_test_count
    scenes_b: Split = "train_a" if settings.paired else "train_b"
    made = {
        "train_a": StreetsSource("photo", "train_a", train, *drawn),
        "train_b": StreetsSource("label", scenes_b, train, *drawn),
        "test_a": StreetsSource("photo", "test", test, *drawn),
        "test_b": StreetsSource("label", "test", test, *drawn),
    }
    train_a, train_b, test_a, test_b = (
        sources.as_channels(made[s], decoders[s].channels) for s in SPLITS
    )
    return Dataset(
        "streets",
        train_a,
        train_b,
        test_a,
        test_b,
        paired_train=settings.paired,
        paired_test=True,
        palette=CITYSCAPES,
        test_class_maps=StreetsSource("class_map", "test", test, *drawn),
        train_class_maps=StreetsSource("class_map", "train_a", train, *drawn),
        drawn=True,
    )


def _cycle_gan(
    settings: DataSettings,
    decoders: Mapping[str, Decoder],
    splits: Collection[str],
    quiet: bool,
) -> Dataset:
    from cyclegan_jax.data import cycle_gan_tfds  # slow to import

    config, path = settings.name.removeprefix("cycle_gan/"), settings.path
    cycle_gan_tfds.check_config(config)
    if path and not cycle_gan_tfds.is_prepared(path):
        tree = open_tree(path)
        found = open_splits(tree, decoders, splits, settings.mask_decoder)
        return _dataset(settings.name, found)
    if path:
        opened = cycle_gan_tfds.open_prepared(path, decoders)
    else:
        opened = cycle_gan_tfds.load(config, settings.data_dir, decoders, quiet=quiet)
    wanted = {s: source for s, source in opened.items() if s in splits}
    return _dataset(settings.name, Opened(wanted, LeftOut()))


_Loader = Callable[
    [DataSettings, Mapping[str, Decoder], Collection[str], bool], Dataset
]
_KINDS: dict[str, _Loader] = {
    "folder": _folder,
    "cityscapes": _folder,
    "side_by_side": _side_by_side,
    "streets": _streets,
    "cycle_gan": _cycle_gan,
}
