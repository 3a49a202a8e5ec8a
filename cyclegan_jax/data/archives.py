"""Images in a zip archive, read in place."""

import contextlib
import functools
import os
import re
import threading
import weakref
import zipfile
import zlib
from pathlib import PurePosixPath

from cyclegan_jax.data import decode, formats
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.data.listing import in_order
from cyclegan_jax.data.sources import EncodedSource, with_pages
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

# RuntimeError: encrypted; its NotImplementedError: an unknown compression method.
_UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_SPLIT_FOLDERS = {"train", "test", "trainA", "trainB", "testA", "testB"}
_DRIVE = re.compile("[A-Za-z]:")
_TWICE = "in the archive twice; the last one counts"


class Archive:
    r"""The images in a zip archive, read in place, from any number of threads.

    If all of them are in one folder (``horse2zebra/trainA/...``, as in the CycleGAN
    authors' archives), names omit that folder. Paths with backslashes, as written by
    some Windows programs, are accepted.

    Attributes:
      path: where the archive is.
      names: the images' sorted names.
      left_out: the other files in it, by reason.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = as_path(path)
        try:
            stream = self.path.open("rb")
            # Threads that still read when the program ends must not lose the file.
            weakref.finalize(self, stream.close).atexit = False
            self._zip = zipfile.ZipFile(stream)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.path} is not a readable zip file ({error}): {self._advice()}"
            ) from None
        self._lock = threading.Lock()
        images, others = self._list()
        tops = {name.split("/")[0] for name in images}
        common = f"{min(tops)}/" if len(tops) == 1 and not tops & _SPLIT_FOLDERS else ""
        self._entries = {name.removeprefix(common): e for name, e in images.items()}
        self.names = tuple(sorted(self._entries, key=in_order))
        self.left_out = LeftOut(
            {
                reason: [name.removeprefix(common) for name in names]
                for reason, names in others.items()
            }
        )

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

    def source(self, folder: str, decoder: Decoder, base: str = "") -> EncodedSource:
        """The images under `folder`, whose names are relative to `base`."""
        stored = self.under(folder)
        start = f"{base}/" if base else ""
        left_out = LeftOut()
        for reason, others in self.left_out.items():
            for name in others:
                if name.startswith(f"{folder}/"):
                    left_out.add(reason, name.removeprefix(start))
        return with_pages(
            EncodedSource(
                [name.removeprefix(start) for name in stored],
                lambda i: self.read(stored[i]),
                decoder=decoder,
                where=str(self.path),
                left_out=left_out,
            )
        )

    def _advice(self):
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            if file.read(2) != b"PK":
                return "unpack it, and name the folder"
        return "copy or download it again"

    def _list(self) -> tuple[dict[str, zipfile.ZipInfo], LeftOut]:
        images: dict[str, zipfile.ZipInfo] = {}
        others = LeftOut()
        for entry in self._zip.infolist():
            name = entry.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            if reason := self._reason(name, entry):
                shown = _hidden_part(name) if reason == formats.SYSTEM else name
                if shown not in others.get(reason, ()):
                    others.add(reason, shown)
                continue
            self._check(name, entry)
            if name in images:
                others.add(_TWICE, name)
            images[name] = entry
        return images, others

    def _reason(self, name: str, entry: zipfile.ZipInfo) -> str:
        path = PurePosixPath(name)
        if any(map(formats.is_hidden, path.parts)):
            return formats.SYSTEM
        if not path.suffix and entry.file_size > decode.MAX_BYTES:
            return formats.NO_PICTURE  # Would have to be unpacked to find out.
        return formats.reason_left_out(
            path.name, functools.partial(self._zip.open, entry)
        )

    def _check(self, name: str, entry: zipfile.ZipInfo) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
            raise UserError(
                f"{self.path} holds an entry with an unsafe path, {entry.filename!r}"
            )
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(  # Python unpacks these whole, whatever size they claim.
                f"entry {entry.filename} of {self.path} is not stored or deflated, as"
                " images in archives are; pack the archive again"
            )
        if entry.file_size > decode.MAX_BYTES:
            raise UserError(
                f"entry {entry.filename} of {self.path} unpacks to {entry.file_size} "
                f"bytes; at most {decode.MAX_BYTES} are read"
            )


def _hidden_part(name: str) -> str:
    """Returns the hidden folder of a path, to list it once instead of its files."""
    parts = name.split("/")
    first = next(i for i, part in enumerate(parts) if formats.is_hidden(part))
    return "/".join(parts[: first + 1]) + "/" * (first + 1 < len(parts))
