"""Data sets by name: four image sources, and what is known about them."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Literal

from etils import epath

from cyclegan_jax.data import labels, sources
from cyclegan_jax.data.dataset import SPLITS, Dataset, first, without_unreadable
from cyclegan_jax.data.decode import check_channels
from cyclegan_jax.data.pairs import check_pairs, open_side_by_side, same_scenes
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.data.splits import open_archive, open_folder
from cyclegan_jax.errors import UserError

_LAYOUT = "trainA, trainB, testA and testB"


def load_dataset(
    name: str,
    *,
    path: str | os.PathLike = "",
    data_dir: str | os.PathLike = "~/tensorflow_datasets",
    folders: Mapping[str, str] | None = None,
    channels_a: int = 3,
    channels_b: int = 3,
    paired: bool = False,
    on_corrupt: Literal["stop", "skip"] = "stop",
    max_images: int = 0,
    palette: str | os.PathLike = "",
    streets_size: int = 64,
    streets_train_count: int = 400,
    streets_test_count: int = 100,
    streets_seed: int = 0,
    quiet: bool = False,
) -> Dataset:
    """Opens a data set by name.

    Args:
      name: "streets" (built in), "folder" (your own images), "side_by_side" (your
        own, or the pix2pix authors': pairs in one image), "cityscapes" (a folder or
        archive laid out like the CycleGAN authors': A photos, B label maps) or
        "cycle_gan/<config>" of TensorFlow Datasets, such as
        "cycle_gan/horse2zebra".
      path: A folder or zip archive with trainA, trainB, testA and testB; for
        cycle_gan/* also a directory prepared by TFDS. A gs:// path may be given.
      data_dir: Where TFDS data sets are looked for, and prepared.
      folders: For "folder", instead of `path`: the folder of each split, by
        "train_a", "train_b" and, if there are test images, "test_a", "test_b".
      channels_a: Channels that images of A are converted to: 1, 3 or 4.
      channels_b: Those of B.
      paired: Train on pairs: "streets" makes them, and the others must have them.
      on_corrupt: What to do about an image that cannot be decoded: "stop" raises
        when it is first read; "skip" decodes all images once, now, and leaves
        such images out (of a pair both), with a warning that names them.
      max_images: The most images of each split to use, the first ones; 0 is all.
      palette: A file of class colours, see `Palette.from_file`: the images of B are
        label maps in these colours, and files of A and B are pairs by their names.
      streets_size: Side of the images of "streets", in pixels.
      streets_train_count: Training images of A, and of B, of "streets".
      streets_test_count: Test pairs of "streets".
      streets_seed: The scenes of "streets" depend on it alone.
      quiet: Show no progress bar.

    Returns:
      The data set. Nothing is decoded yet, unless `on_corrupt` is "skip".

    Raises:
      UserError: No such data set, no images, no way to get them, or no pairs.
    """
    if on_corrupt not in ("stop", "skip"):
        raise UserError(f"on_corrupt is {on_corrupt!r}; it can be stop or skip")
    if max_images < 0:
        raise UserError(f"max_images is {max_images}; 0 means all")
    folders = {split: folder for split, folder in (folders or {}).items() if folder}
    _check_location(name, path, folders)
    wanted = {
        s: check_channels(channels_a if s[-1] == "a" else channels_b) for s in SPLITS
    }
    classes = labels.palette_of(name, palette)
    # Label maps are opened in colour, whatever is asked for: classes are colours.
    channels = wanted | ({"train_b": 3, "test_b": 3} if classes else {})
    if name == "streets":
        counts = streets_train_count, streets_test_count
        dataset = _streets(
            channels, *counts, size=streets_size, seed=streets_seed, paired=paired
        )
    elif name in ("folder", "cityscapes"):
        opened = _open_folders(folders, channels) if folders else _open(path, channels)
        dataset = _folder(name, opened, paired)
    elif name == "side_by_side":
        opened = open_side_by_side(path, channels)
        dataset = _dataset(
            name, opened, paired_train=True, paired_test="test_a" in opened
        )
    else:
        dataset = _cycle_gan(name, path, data_dir, channels, quiet)
    if classes:
        dataset = dataclasses.replace(
            dataset, **labels.read_as_labels(dataset, classes, wanted)
        )
    if paired and not dataset.paired_train:
        raise UserError(
            f"{name} has no pairs to train on (config.data.paired): its images of A"
            " and B do not belong together"
        )
    if max_images:
        dataset = first(dataset, max_images)
    if on_corrupt == "skip" and name != "streets":
        dataset = without_unreadable(dataset, quiet)
    return dataset


def _check_location(name: str, path: object, folders: object) -> None:
    known = ("streets", "folder", "side_by_side", "cityscapes")
    if name not in known and name[:10] != "cycle_gan/":
        raise UserError(
            f"there is no data set {name!r}; config.data.dataset can be streets, "
            "folder, side_by_side, cityscapes or cycle_gan/<config>, such as "
            "cycle_gan/horse2zebra"
        )
    if folders and (path or name != "folder"):
        raise UserError(
            "config.data.train_a, train_b, test_a and test_b are for "
            "config.data.dataset=folder, and without config.data.path"
        )
    if path and name == "streets":
        raise UserError(
            f"config.data.path is {path}, but the data set streets is made, not read: "
            "set config.data.dataset=folder"
        )
    if not path and not folders and name in known[1:]:
        layout = "train and test" if name == "side_by_side" else _LAYOUT
        raise UserError(
            f"the data set {name} needs config.data.path, a folder or zip archive with "
            f"{layout}"
        )


def _open(
    path: str | os.PathLike, channels: Mapping[str, int]
) -> dict[str, ImageSource]:
    path = epath.Path(path).expanduser()
    if path.is_dir():
        return open_folder(path, channels)
    if not path.exists():
        raise UserError(f"there is no {path} (config.data.path)")
    return open_archive(path, channels)


def _open_folders(
    folders: Mapping[str, str], channels: Mapping[str, int]
) -> dict[str, ImageSource]:
    if unknown := sorted(set(folders) - set(SPLITS)):
        raise UserError(f"there is no split {unknown[0]!r}, only {', '.join(SPLITS)}")
    if set(folders) not in (set(SPLITS[:2]), set(SPLITS)):
        raise UserError(
            "give config.data.train_a and train_b, and test_a and test_b either both "
            f"or not at all; got {', '.join(sorted(folders))}"
        )
    return {
        split: sources.folder_source(folder, channels=channels[split])
        for split, folder in folders.items()
    }


def _dataset(name: str, opened: Mapping[str, ImageSource], **about: object) -> Dataset:
    """Makes a Dataset of the splits that there are."""
    none = sources.SubsetSource(opened["train_a"], ())
    return Dataset(name, **{s: opened.get(s, none) for s in SPLITS}, **about)


def _folder(name: str, opened: Mapping[str, ImageSource], paired: bool) -> Dataset:
    """Images of your own; that they are pairs is yours to say."""
    if paired:
        check_pairs(opened["train_a"], opened["train_b"])
    tests = paired and "test_a" in opened
    paired_test = tests and same_scenes(opened["test_a"], opened["test_b"])
    return _dataset(name, opened, paired_train=paired, paired_test=paired_test)


def _streets(
    channels: Mapping[str, int],
    train: int,
    test: int,
    *,
    size: int,
    seed: int,
    paired: bool,
) -> Dataset:
    from cyclegan_jax.data.palettes import CITYSCAPES
    from cyclegan_jax.data.streets import StreetsSource

    scenes_b = "train_a" if paired else "train_b"
    made = {
        "train_a": StreetsSource("photo", "train_a", train, size, seed),
        "train_b": StreetsSource("label", scenes_b, train, size, seed),
        "test_a": StreetsSource("photo", "test", test, size, seed),
        "test_b": StreetsSource("label", "test", test, size, seed),
    }
    return _dataset(
        "streets",
        {s: sources.as_channels(source, channels[s]) for s, source in made.items()},
        paired_train=paired,
        paired_test=True,
        palette=CITYSCAPES,
        test_class_maps=StreetsSource("class_map", "test", test, size, seed),
        train_class_maps=StreetsSource("class_map", "train_a", train, size, seed),
    )


def _cycle_gan(
    name: str,
    path: str | os.PathLike,
    data_dir: str | os.PathLike,
    channels: Mapping[str, int],
    quiet: bool,
) -> Dataset:
    from cyclegan_jax.data import cycle_gan_tfds  # slow to import

    config = name.removeprefix("cycle_gan/")
    cycle_gan_tfds.check_config(config)
    if not path:
        opened = cycle_gan_tfds.load(config, data_dir, channels, quiet=quiet)
    elif cycle_gan_tfds.is_prepared(path):
        opened = cycle_gan_tfds.open_prepared(path, channels)
    else:
        opened = _open(path, channels)
    # The photographs of the other sets are no pairs, whatever their names.
    pairs = config in ("maps", "facades")
    return _dataset(
        name,
        opened,
        paired_train=pairs and same_scenes(opened["train_a"], opened["train_b"]),
        paired_test=pairs
        and "test_a" in opened
        and same_scenes(opened["test_a"], opened["test_b"]),
    )
