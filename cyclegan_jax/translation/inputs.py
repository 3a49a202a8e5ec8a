"""Finds the images and videos to translate, and the files that are skipped."""

import glob
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from etils import epath

from cyclegan_jax.data import formats, listing
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path, is_remote
from cyclegan_jax.translation import video


class Input(NamedTuple):
    """A picture or video.

    Attributes:
      path: of the file.
      name: its name below the output folder.
    """

    path: epath.Path
    name: pathlib.PurePosixPath

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its extension."""
        return self.path.suffix.lower() in video.SUFFIXES


def find(texts: Sequence[str], output: epath.Path) -> tuple[list[Input], LeftOut]:
    """Finds pictures and videos.

    Args:
      texts: files, folders (searched recursively) and patterns.
      output: files in it are our own output, unless directly in a given folder.

    Returns:
      The inputs, each once, and the files that are skipped.

    Raises:
      UserError: a text matches nothing.
    """
    inputs: dict[epath.Path, Input] = {}
    left_out = LeftOut()
    for text in texts:
        for path in _named(text):
            if path.is_dir():
                matches: Iterable[Input] = _below(path, output, left_out)
            else:
                reason = _reason(path)
                if reason:
                    left_out.add(reason, os.fspath(path))
                name = pathlib.PurePosixPath(path.name)
                matches = [] if reason else [Input(path, name)]
            for one in matches:
                inputs.setdefault(one.path, one)
    return list(inputs.values()), left_out


def place(path: epath.PathLike) -> str:
    """Returns a resolved path, so that two can be compared."""
    text = os.fspath(path)
    return text if is_remote(text) else os.path.realpath(text)


def _named(text: str) -> list[epath.Path]:
    """The files and folders that an argument stands for."""
    path = as_path(text)
    if path.exists() or (not is_remote(text) and os.path.islink(path)):
        return [path]
    if not glob.has_magic(text):
        raise UserError(f"there is no {text}.")
    if is_remote(text):
        first = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        base = epath.Path(text.split(path.parts[first])[0].rstrip("/"))
        paths = sorted(base.glob("/".join(path.parts[first:])))
    else:
        paths = sorted(glob.glob(os.fspath(path), recursive=True))
    if not paths:
        raise UserError(f"nothing matches {text}.")
    return [epath.Path(path) for path in paths]


def _below(
    folder: epath.Path, output: epath.Path, left_out: LeftOut
) -> Iterator[Input]:
    """Yields the inputs below a folder; records the files that are skipped."""
    names, others = listing.list_images(folder, "")
    no_pictures = others.pop(formats.NO_PICTURE, [])
    videos = [name for name in no_pictures if _is_video(name)]
    others[formats.NO_PICTURE] = [name for name in no_pictures if not _is_video(name)]
    ours = "" if place(output) == place(folder) else place(output)
    for reason, rest in others.items():
        for name in rest:
            if not _within(folder / name, ours):
                left_out.add(reason, os.fspath(folder / name))
    for name in sorted([*names, *videos], key=listing.in_order):
        if not _within(folder / name, ours):
            yield Input(folder / name, pathlib.PurePosixPath(name))


def _within(path, folder):
    return bool(folder) and (place(path) + "/").startswith(folder + "/")


def _is_video(name):
    return pathlib.PurePosixPath(name).suffix.lower() in video.SUFFIXES


def _reason(path):
    if not path.exists():
        return formats.BROKEN_LINK
    if _is_video(path.name):
        return ""
    # A file given by name is used even if its name looks hidden.
    return formats.reason_left_out(path.name.lstrip("."), lambda: path.open("rb"))
