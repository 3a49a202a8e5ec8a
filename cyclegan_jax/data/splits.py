"""Sets of images as they lie on disk: the four splits of a folder or an archive."""

import os
from collections.abc import Callable, Mapping, Sequence

from etils import epath

from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.dataset import SPLITS
from cyclegan_jax.data.sources import SUFFIX_TEXT, ImageSource, folder_source
from cyclegan_jax.errors import UserError

_LAYOUTS = {
    "train_a": ("trainA", "train/A"),
    "train_b": ("trainB", "train/B"),
    "test_a": ("testA", "test/A"),
    "test_b": ("testB", "test/B"),
}


def open_folder(
    root: str | os.PathLike, channels: Mapping[str, int]
) -> dict[str, ImageSource]:
    """Opens a folder with trainA, trainB and, if it has tests, testA and testB.

    ``train/A`` and so on are understood as well.

    Args:
      root: the folder.
      channels: channels by split ("train_a", "train_b", "test_a", "test_b").

    Returns:
      The sources by split; without "test_a" and "test_b" if neither folder exists.

    Raises:
      UserError: a split's folder is missing or holds no image.
    """
    root = epath.Path(root).expanduser()
    held = sorted(p.name for p in root.iterdir() if p.is_dir())
    found = _find_splits(lambda folder: (root / folder).is_dir(), root, held)
    return {
        split: folder_source(root / folder, channels=channels[split], root=root)
        for split, folder in found.items()
    }


def open_archive(
    path: str | os.PathLike, channels: Mapping[str, int]
) -> dict[str, ImageSource]:
    """Opens a zip archive laid out as `open_folder` says, and reads it in place.

    Args:
      path: the archive.
      channels: channels by split.

    Returns:
      The sources by split, as from `open_folder`.

    Raises:
      UserError: not a zip archive, an unsafe entry, or a split is missing.
    """
    archive = Archive(path)
    held = sorted({n.split("/")[0] for n in archive.names if "/" in n})
    found = _find_splits(archive.under, archive.path, held)
    return {
        split: archive.source(folder, channels=channels[split])
        for split, folder in found.items()
    }


def _find_splits(
    has_images: Callable[[str], object], root: os.PathLike, held: Sequence[str]
) -> dict[str, str]:
    """Maps each split that exists to its folder."""
    folders = {
        split: next((folder for folder in names if has_images(folder)), None)
        for split, names in _LAYOUTS.items()
    }
    tests = folders["test_a"] or folders["test_b"]
    needed = SPLITS if tests else SPLITS[:2]
    if missing := [split for split in needed if not folders[split]]:
        wanted = ", ".join(" or ".join(_LAYOUTS[split]) for split in missing)
        raise UserError(
            f"{root} has no images in {wanted} (looked for {SUFFIX_TEXT}); its "
            f"folders are: {', '.join(held) or 'none'}"
        )
    return {split: folder for split, folder in folders.items() if folder}
