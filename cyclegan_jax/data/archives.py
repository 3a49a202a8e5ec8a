"""Images in a zip archive, read in place."""

import os
import threading
import weakref
import zipfile
import zlib
from pathlib import PurePosixPath

from etils import epath

from cyclegan_jax.data import decode
from cyclegan_jax.data.sources import IMAGE_SUFFIXES, EncodedSource, is_hidden
from cyclegan_jax.errors import UserError

# RuntimeError: encrypted; its NotImplementedError: an unknown compression method.
_UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_SPLIT_FOLDERS = {"train", "test", "trainA", "trainB", "testA", "testB"}


class Archive:
    """The images in a zip archive, read in place, from any number of threads.

    If all of them lie in one folder (``horse2zebra/trainA/...``, as in the CycleGAN
    authors' archives), their names leave that folder out.

    Attributes:
      path: where the archive is.
      names: the images' sorted names.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = epath.Path(path).expanduser()
        try:
            stream = self.path.open("rb")
            # Threads that still read when the program ends must not lose the file.
            weakref.finalize(self, stream.close).atexit = False
            self._zip = zipfile.ZipFile(stream)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.path} is not a readable zip file: {error}"
            ) from None
        self._lock = threading.Lock()
        entries = [e for e in self._zip.infolist() if _is_image(e.filename)]
        for entry in entries:
            self._check(entry)
        tops = {entry.filename.split("/")[0] for entry in entries}
        common = f"{min(tops)}/" if len(tops) == 1 and not tops & _SPLIT_FOLDERS else ""
        self._entries = {e.filename.removeprefix(common): e for e in entries}
        self.names = tuple(sorted(self._entries))

    def under(self, folder: str) -> list[str]:
        """The sorted names of the images under `folder`."""
        return [name for name in self.names if name.startswith(f"{folder}/")]

    def read(self, name: str) -> bytes:
        """The encoded bytes of one image; raises UnreadableImage if damaged."""
        try:
            with self._lock:
                return self._zip.read(self._entries[name])
        except _UNREADABLE as error:
            raise decode.UnreadableImage(
                f"entry {name} of {self.path} cannot be read: {error}"
            ) from error

    def source(self, folder: str, *, channels: int) -> EncodedSource:
        """The images under `folder`."""
        names = self.under(folder)
        return EncodedSource(
            names,
            lambda i: self.read(names[i]),
            channels=channels,
            where=str(self.path),
        )

    def _check(self, entry: zipfile.ZipInfo) -> None:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise UserError(
                f"{self.path} holds an entry with an unsafe path, {entry.filename!r}"
            )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(  # Python unpacks these whole, whatever size they claim.
                f"entry {entry.filename} of {self.path} is not stored or deflated, as"
                " images in archives are; pack the archive anew"
            )
        if entry.file_size > decode.MAX_BYTES:
            raise UserError(
                f"entry {entry.filename} of {self.path} unpacks to {entry.file_size} "
                f"bytes; at most {decode.MAX_BYTES} are read"
            )


def _is_image(name: str) -> bool:
    """Whether an archive's entry is an image that is not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(map(is_hidden, path.parts))
