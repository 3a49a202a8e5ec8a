"""The pictures below a folder, in order, and what else lies there."""

import os
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from cyclegan_jax.data import formats
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.errors import UserError


class Entry(NamedTuple):
    """A file or folder; `path` opens it."""

    name: str
    path: epath.Path
    is_dir: bool
    is_file: bool


def list_images(folder: epath.Path, prefix: str) -> tuple[list[str], LeftOut]:
    """Finds all pictures below a folder; links are followed.

    Args:
      folder: local, or gs://...
      prefix: what names begin with, such as "trainA/".

    Returns:
      The names in their order, and what is no picture.

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
    """What names are sorted by: the same on systems that write accents differently."""
    return unicodedata.normalize("NFC", name), name


def entries(folder: epath.Path) -> Iterator[Entry]:
    """Yields what lies in a folder.

    Raises:
      UserError: it cannot be read.
    """
    try:
        if "://" in os.fspath(folder):
            for path in folder.iterdir():  # Asking each what it is takes a request.
                known = path.suffix.lower() in formats.IMAGE_SUFFIXES
                is_dir = not known and path.is_dir()
                yield Entry(path.name, path, is_dir, not is_dir)
            return
        with os.scandir(folder) as found:
            for entry in found:
                path = folder / entry.name
                yield Entry(entry.name, path, entry.is_dir(), entry.is_file())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from None


def _walk(
    folder: epath.Path, prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yields names, each with the reason why it is left out, if it is."""
    here = os.path.realpath(folder)
    if here in above:  # a link to a folder that it lies in
        return
    for entry in entries(folder):
        name = prefix + entry.name
        if entry.is_dir and not formats.is_hidden(entry.name):
            yield from _walk(entry.path, f"{name}/", (*above, here))
        else:
            yield name + "/" * entry.is_dir, _reason(entry)


def _reason(entry: Entry) -> str:
    if entry.is_dir or formats.is_hidden(entry.name):
        return formats.SYSTEM
    if not entry.is_file:  # Nor a pipe or the like, which would wait for ever.
        link = os.path.islink(entry.path) and not os.path.exists(entry.path)
        return formats.BROKEN_LINK if link else formats.NO_PICTURE
    return formats.reason_left_out(entry.name, lambda: entry.path.open("rb"))
