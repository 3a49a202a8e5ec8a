"""Finds the training and test images of a data set: the supported folder layouts."""

import contextlib
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from cyclegan_jax.data.dataset import SPLITS
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.formats import FORMAT_TEXT, LeftOut
from cyclegan_jax.data.sources import EncodedSource, ImageSource
from cyclegan_jax.data.trees import FolderTree, Tree
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

_WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation", "eval"),
}
_DEEPEST = 2  # Maximum number of folders between the given path and the splits.

Source = TypeVar("Source", bound=ImageSource, covariant=True)
Find = Callable[[Tree, str], dict[str, str]]
"""(tree, base) -> split -> its folder, of the splits directly below `base`."""


class Opened(NamedTuple, Generic[Source]):
    """The splits of a data set, their masks, and the files beside their images."""

    sources: Mapping[str, Source]
    left_out: LeftOut
    masks: Mapping[str, ImageSource] = MappingProxyType({})


def open_splits(
    tree: Tree,
    decoders: Mapping[str, Decoder],
    splits: Collection[str] = SPLITS,
    mask_decoder: Decoder | None = None,
) -> Opened[EncodedSource]:
    """Opens trainA, trainB and, if they exist, testA and testB.

    ``train/A`` and ``A/train`` are recognised as well, and ``val`` or ``validation`` if
    there is no ``test``, in upper or lower case, at the top or one or two folders down.

    Args:
      tree: a folder or an archive.
      decoders: by split ("train_a", "train_b", "test_a", "test_b").
      splits: those to open.
      mask_decoder: also opens the masks in folders beside them, if there are any.

    Returns:
      The sources by split. Test splits may be missing.

    Raises:
      UserError: a requested training split is missing or empty, or there is no split at
        all, or several folders contain splits.
    """

    def find(tree: Tree, base: str) -> dict[str, str]:
        folders = {s: _folder(tree, base, *s.split("_")) for s in SPLITS}
        return {split: folder for split, folder in folders.items() if folder}

    base, folders = locate(tree, find)
    needed = [s for s in splits if s.startswith("train")] or (
        [] if folders else list(splits)
    )
    if missing := [split for split in needed if split not in folders]:
        wanted = ", ".join(_described(split) for split in missing)
        held = ", ".join(tree.folders(base)) or "none"
        if _is_split(tree.where.rstrip("/").rpartition("/")[2]):
            held += "; it is a split itself: name the folder above it"
        raise UserError(
            f"{tree.where} has no images in {wanted} (looked for {FORMAT_TEXT}); its"
            f" folders are: {held}. Any folders will do as config.data.train_a,"
            " train_b, test_a and test_b"
        )
    sources = {
        split: tree.source(folders[split], decoders[split], base)
        for split in splits
        if split in folders
    }
    masks: dict[str, EncodedSource] = {}
    used = list(folders.values())
    if mask_decoder:
        for split, folder in folders.items():
            if name := mask_folder(tree, folder):
                used.append(name)
                if split in sources:
                    masks[split] = tree.source(name, mask_decoder, base)
    left_out = beside(tree, base, used)
    for source in (*sources.values(), *masks.values()):
        left_out.merge(source.left_out)
    return Opened(sources, left_out, masks)


def mask_folder(tree: Tree, folder: str) -> str:
    """The folder of the masks of a folder's images, or "": trainA_mask, of trainA."""
    base, _, name = folder.rpartition("/")
    for child in _folders(tree, base):
        if _key(child) == f"{_key(name)}mask":
            return _join(base, child)
    return ""


def open_masks(folder: str, decoder: Decoder | None) -> EncodedSource | None:
    """Opens the masks of a folder of images; None without a decoder, or any masks."""
    path = as_path(folder)
    tree = FolderTree(path.parent)
    name = mask_folder(tree, path.name) if decoder else ""
    return tree.source(name, decoder, "") if decoder and name else None


def locate(tree: Tree, find: Find) -> tuple[str, dict[str, str]]:
    """Finds the folder that contains the splits: the top one, or one or two below.

    Returns:
      That folder ("" for the top one) and its splits, as returned by `find`.

    Raises:
      UserError: several folders at the same depth contain splits.
    """
    level = [""]
    for _ in range(_DEEPEST + 1):
        fitting = {base: found for base in level if (found := find(tree, base))}
        if len(fitting) > 1:
            first = next(iter(fitting))
            raise UserError(
                f"{tree.where} holds several data sets, {', '.join(sorted(fitting))}:"
                f" name one of them, such as config.data.path={tree.where}/{first}"
            )
        if fitting:
            return next(iter(fitting.items()))
        level = [_join(base, name) for base in level for name in _folders(tree, base)]
    return "", {}


def beside(tree: Tree, base: str, used: Collection[str]) -> LeftOut:
    """Lists folders and images that belong to no split."""
    left_out = LeftOut()
    parts = base.split("/") if base else []
    here = {"/".join(parts[:depth]) for depth in range(len(parts) + 1)}
    within = {folder.rpartition("/")[0] for folder in used}
    for folder in sorted(here | within):
        for name in _folders(tree, folder):
            path = _join(folder, name)
            holds = any(u == path or u.startswith(f"{path}/") for u in used)
            if not holds:
                left_out.add("in no split", f"{path}/")
        for name in tree.pictures(folder):
            left_out.add("in no split", _join(folder, name))
    return left_out


def split_folder(tree: Tree, base: str, kind: str) -> str:
    """The folder of "train" or "test" directly below `base`; "" if there is none."""
    return _folder(tree, base, kind, "")


def _folder(tree: Tree, base: str, kind: str, letter: str) -> str:
    children = _folders(tree, base)
    for word in _WORDS[kind]:
        for child in children:
            key = _key(child)
            if key == word + letter:
                return _join(base, child)
            if letter and key in (word, letter):
                rest = letter if key == word else word
                for below in _folders(tree, _join(base, child)):
                    if _key(below) == rest:
                        return _join(base, f"{child}/{below}")
    return ""


def _is_split(name: str) -> bool:
    words = [word for several in _WORDS.values() for word in several]
    return _key(name) in {word + letter for word in words for letter in ("a", "b")}


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in "_- .")


def _folders(tree: Tree, base: str) -> list[str]:
    with contextlib.suppress(UserError):  # A folder that cannot be read.
        return tree.folders(base)
    return []


def _join(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _described(split: str) -> str:
    kind, letter = split.split("_")
    return f"{kind}{letter.upper()} or {kind}/{letter.upper()}"
