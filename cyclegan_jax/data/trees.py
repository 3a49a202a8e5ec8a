"""A common interface to folders and archives: their folders and images."""

from typing import Protocol

from etils import epath

from cyclegan_jax.data import formats, listing
from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.sources import EncodedSource, folder_source
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path, seen_from_here


class Tree(Protocol):
    """The files of a data set; paths in it are relative, with slashes.

    Attributes:
      where: the folder or archive, for messages.
    """

    where: str

    def folders(self, base: str) -> list[str]:
        """The sorted names of the folders directly below `base` ("" is the top)."""

    def pictures(self, base: str) -> list[str]:
        """The names of the pictures directly below `base`."""

    def source(self, folder: str, decoder: Decoder, base: str) -> EncodedSource:
        """All images below a folder; their names are relative to `base`."""


class FolderTree:
    """A folder on disk or in a bucket."""

    def __init__(self, root: epath.Path):
        self.where, self._root = str(root), root

    def folders(self, base: str) -> list[str]:
        """The sorted names of the folders directly below `base`."""
        listed = listing.entries(self._root / base)
        return sorted(
            e.name for e in listed if e.is_dir and not formats.is_hidden(e.name)
        )

    def pictures(self, base: str) -> list[str]:
        """The names of the pictures directly below `base`."""
        return sorted(
            e.name
            for e in listing.entries(self._root / base)
            if e.is_file and not formats.is_hidden(e.name) and _is_picture(e.name)
        )

    def source(self, folder: str, decoder: Decoder, base: str) -> EncodedSource:
        """All images below a folder; their names are relative to `base`."""
        return folder_source(
            self._root / folder, decoder=decoder, root=self._root / base
        )


class ArchiveTree:
    """A zip archive; only folders that contain images are listed."""

    def __init__(self, archive: Archive):
        self.where, self._archive = str(archive.path), archive

    def folders(self, base: str) -> list[str]:
        """The sorted names of the folders directly below `base`."""
        return sorted({rest.split("/")[0] for rest in self._below(base) if "/" in rest})

    def pictures(self, base: str) -> list[str]:
        """The names of the pictures directly below `base`."""
        return [rest for rest in self._below(base) if "/" not in rest]

    def source(self, folder: str, decoder: Decoder, base: str) -> EncodedSource:
        """All images below a folder; their names are relative to `base`."""
        return self._archive.source(folder, decoder, base=base)

    def _below(self, base: str) -> list[str]:
        start = f"{base}/" if base else ""
        names = self._archive.names
        return [name.removeprefix(start) for name in names if name.startswith(start)]


def open_tree(path: epath.PathLike) -> Tree:
    """Opens a folder or a zip archive.

    Raises:
      UserError: the path does not exist, or is not a zip archive.
    """
    path = as_path(path)
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise UserError(f"there is no {seen_from_here(path)} (config.data.path)")
    return ArchiveTree(Archive(path))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(formats.IMAGE_SUFFIXES)
