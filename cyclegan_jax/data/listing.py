"""Lists the images under a folder, in order, and the files that are skipped."""

import os
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from cyclegan_jax.data import formats
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.errors import UserError

_OF_A_RUN = frozenset(("config.json", "run.json"))  # Its samples are no data.


class Entry(NamedTuple):
    """A file or folder; `path` opens it."""

    name: str
    path: epath.Path
    is_dir: bool
    is_file: bool


def list_images(folder: epath.Path, prefix: str) -> tuple[list[str], LeftOut]:
    """Finds all images under a folder, following links.

    Args:
      folder: local, or gs://...
      prefix: prepended to all names, such as "trainA/".

    Returns:
      The names in order, and the files that are not images.

    Raises:
      UserError: a folder cannot be read.
    """
    names: list[str] = []
    left_out = LeftOut()
    for name, reason in _walk(folder, prefix, ()):
        if reason:
            left_out.add(reason, name)
        else:
            names.append(name)
    return sorted(names, key=in_order), left_out


def in_order(name: str) -> tuple[str, str]:
    """Sort key of names, independent of the system's Unicode form of accents."""
    return unicodedata.normalize("NFC", name), name


def entries(folder: epath.Path) -> Iterator[Entry]:
    """Yields the entries of a folder.

    Raises:
      UserError: it cannot be read.
    """
    try:
        if "://" in os.fspath(folder):
            for path in folder.iterdir():  # Each is_dir is a request.
                known = path.suffix.lower() in formats.IMAGE_SUFFIXES
                is_dir = not known and path.is_dir()
                yield Entry(path.name, path, is_dir, not is_dir)
            return
        with os.scandir(folder) as scan:
            for entry in scan:
                path = folder / entry.name
                yield Entry(entry.name, path, entry.is_dir(), entry.is_file())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from None


def _walk(
    folder: epath.Path, prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yields names, each with the reason why it is left out, or ""."""
    here = os.path.realpath(folder)
    if here in above:  # a link to a parent folder
        return
    below = list(entries(folder))
    if above and {entry.name for entry in below} >= _OF_A_RUN:
        yield prefix, formats.RUN
        return
    for entry in below:
        name = prefix + entry.name
        if entry.is_dir and not formats.is_hidden(entry.name):
            yield from _walk(entry.path, f"{name}/", (*above, here))
        else:
            yield name + "/" * entry.is_dir, _reason(entry)


def _reason(entry: Entry) -> str:
    if entry.is_dir or formats.is_hidden(entry.name):
        return formats.SYSTEM
    if not entry.is_file:  # Also not a pipe, on which reading would block.
        link = os.path.islink(entry.path) and not os.path.exists(entry.path)
        return formats.BROKEN_LINK if link else formats.NO_PICTURE
    return formats.reason_left_out(entry.name, lambda: entry.path.open("rb"))
