"""Which data set, where it is, and how it is read."""

import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import Any, Literal

from cyclegan_jax.data.dataset import SPLITS
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.masks import MaskDecoder
from cyclegan_jax.data.ranges import declared
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path
from cyclegan_jax.images import Pixels

_LAYOUT = "trainA, trainB, testA and testB"
_READ = ("folder", "side_by_side", "cityscapes")  # From `path`, always.


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which data set, where it is, and how it is read.

    Attributes:
      name: "streets" (built in), "folder" (your own images), "side_by_side" (your
        own, or the pix2pix authors': pairs in one image), "cityscapes" (a folder or
        archive with the CycleGAN authors' layout: A photos, B label maps) or
        "cycle_gan/<config>" of TensorFlow Datasets, such as
        "cycle_gan/horse2zebra".
      path: A folder or zip archive with trainA, trainB, testA and testB; for
        cycle_gan/* also a directory prepared by TFDS. May be a gs:// path.
      data_dir: Where TFDS data sets are searched for and prepared.
      folders: For "folder", instead of `path`: the folder of each split, by
        "train_a", "train_b", "test_a" and "test_b".
      channels_a: Channels that images of A are converted to: 1, 3 or 4; or what
        measured values have, up to 32.
      channels_b: The same for B.
      dtype_a: The type of values of A, one of `images.DTYPES`.
      dtype_b: The same for B.
      range_a: The values of A that become -1 and 1. Empty: the whole range of an
        integer type. Images whose type or range is set are measured values, not
        pictures: see `images.Pixels`.
      range_b: The same for B.
      shown_a: The channels of measured values that are shown, one or three; empty: the
        first three, or the first.
      shown_b: The same for B.
      as_stored: Ignore EXIF orientation and colour profiles; see `decode_image`.
      paired: Train on pairs: "streets" generates them, other data sets must have them.
      paired_test: The test images are pairs, even if the training images are not.
      pairs: How images are paired: by "name" or by "order".
      on_corrupt: What to do about an image that cannot be decoded: "stop" raises
        when it is first read; "skip" decodes all images once at the start and drops
        such images (and their partners in pairs), with a warning that names them.
      max_images: Use only the first images of each split; 0: all.
      masks: What masks in folders beside the images keep: "nonzero", or values of a
        label map, such as "24, 26"; see `data.masks`. Empty: there are none.
      palette: A file of class colours, see `Palette.from_file`: the images of B are
        label maps in these colours, and files of A and B are pairs.
      streets_size: Side of the images of "streets", in pixels.
      streets_train_count: Training images of A, and of B, of "streets".
      streets_test_count: Test pairs of "streets".
      streets_seed: The seed of the scenes of "streets".
      streets_look: How they look: "summer" or "autumn".
    """

    name: str
    path: str | os.PathLike = ""
    data_dir: str | os.PathLike = "~/tensorflow_datasets"
    folders: Mapping[str, str] | None = None
    channels_a: int = 3
    channels_b: int = 3
    dtype_a: str = "uint8"
    dtype_b: str = "uint8"
    range_a: str | tuple[float, ...] = ""
    range_b: str | tuple[float, ...] = ""
    shown_a: str | tuple[int, ...] = ""
    shown_b: str | tuple[int, ...] = ""
    as_stored: bool = False
    paired: bool = False
    paired_test: bool = False
    pairs: Literal["name", "order"] = "name"
    on_corrupt: Literal["stop", "skip"] = "stop"
    max_images: int = 0
    masks: str = ""
    palette: str | os.PathLike = ""
    streets_size: int = 64
    streets_train_count: int = 400
    streets_test_count: int = 100
    streets_seed: int = 0
    streets_look: str = "summer"

    def __post_init__(self):
        for setting, known in (
            ("on_corrupt", ("stop", "skip")),
            ("pairs", ("name", "order")),
        ):
            if (value := getattr(self, setting)) not in known:
                raise UserError(
                    f"{setting} is {value!r}; it can be {' or '.join(known)}"
                )
        if self.max_images < 0:
            raise UserError(f"max_images is {self.max_images}; 0 means all")
        _check_location(self)
        if self.mask_decoder and self.channels_a != self.channels_b:
            raise UserError(
                f"config.data.masks is {self.masks!r}, but images of {self.channels_a}"
                f" channels (A) cannot be kept as images of {self.channels_b} (B)"
            )
        for domain in "ab":
            pixels = self.pixels(domain)
            of_colours = self.name in ("streets", "cityscapes") or self.palette
            if pixels.measured and of_colours:
                raise UserError(
                    f"config.data.dtype_{domain}, range_{domain} and channels_{domain}"
                    " declare measured values, but streets, cityscapes and label"
                    " maps with a palette are pictures of 8 bits"
                )

    @classmethod
    def of(cls, config: Mapping[str, Any], path: str = "") -> "DataSettings":
        """Reads the settings from a config.

        Args:
          config: its group `data`.
          path: where the data are now, if they have moved. If the config names single
            folders, `path` is the new location of their common parent folder;
            otherwise it replaces `config.data.path`.
        """
        folders = {split: config[split] for split in SPLITS if config[split]}
        if path and folders:
            folders = _moved(folders, path)
        renamed = {
            "streets_train_count": "streets_train",
            "streets_test_count": "streets_test",
        }
        same = {field.name for field in dataclasses.fields(cls)} & set(config)
        return cls(
            config["dataset"],
            **{name: config[name] for name in same - {"path"}},
            **{name: config[old] for name, old in renamed.items()},
            folders=folders,
            path="" if folders else path or config["path"],
        )

    @property
    def chosen_folders(self) -> dict[str, str]:
        """The folders that are set individually."""
        return {s: folder for s, folder in (self.folders or {}).items() if folder}

    def channels(self, split: str) -> int:
        """The number of channels that images of a split are converted to."""
        return self.channels_a if split[-1] == "a" else self.channels_b

    def pixels(self, split: str) -> Pixels:
        """How the images of a split, or of a domain, are stored.

        Raises:
          UserError: the settings are no description of values.
        """
        return declared(vars(self), split[-1])

    @property
    def mask_decoder(self) -> MaskDecoder | None:
        """How masks are read, if there are any."""
        if not self.masks:
            return None
        return MaskDecoder.of(self.masks, as_stored=self.as_stored)

    def decoders(self, in_colour: Collection[str] = ()) -> dict[str, Decoder]:
        """The decoder of each split; those in `in_colour` always decode in colour."""
        return {
            s: Decoder(
                3 if s in in_colour else self.channels(s),
                self.as_stored,
                self.pixels(s),
            )
            for s in SPLITS
        }


def _moved(folders: Mapping[str, str], path: str) -> dict[str, str]:
    """Returns the folders after their common parent folder has moved to `path`.

    Empty if they are not there: then `path` has another layout.
    """
    old = {s: os.path.abspath(as_path(folder)) for s, folder in folders.items()}
    above = os.path.commonpath([os.path.dirname(folder) for folder in old.values()])
    new = {s: as_path(path) / os.path.relpath(o, above) for s, o in old.items()}
    return {s: str(folder) for s, folder in new.items() if folder.is_dir()}


def _check_location(settings: DataSettings) -> None:
    name, path, folders = settings.name, settings.path, settings.chosen_folders
    if name not in ("streets", *_READ) and name[:10] != "cycle_gan/":
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
            f"config.data.path is {path}, but streets is generated, not read: "
            "set config.data.dataset=folder"
        )
    if not path and not folders and name in _READ:
        layout = "train and test" if name == "side_by_side" else _LAYOUT
        raise UserError(
            f"the data set {name} needs config.data.path, a folder or zip archive with "
            f"{layout}"
        )
