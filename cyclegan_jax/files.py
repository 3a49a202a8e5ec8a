"""Paths as users write them, and files that readers see whole or not at all."""

import contextlib
import hashlib
import importlib.util
import io
import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax.errors import UserError

# Storage that `epath` reaches through a package of its own.
_BACKENDS = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "hf": "huggingface_hub"}


def as_path(text: epath.PathLike) -> epath.Path:
    """Returns the path that a user means: every flag and setting goes through here.

    `~` and `$HOME` are expanded, `gs://bucket/x` and the like stay what they are, and
    everything else is relative to the current folder. A file whose name has its accents
    written in Unicode's other way is the one that is meant.

    Raises:
      UserError: the storage is not known, or needs a package that is not installed.
    """
    text = os.fspath(text)
    scheme, separator, _ = text.partition("://")
    if not separator:
        # A file may be called $x: then it is that one, and not a variable.
        given = text if os.path.lexists(text) else os.path.expandvars(text)
        path = os.path.expanduser(given)
        spellings = (path, *(unicodedata.normalize(f, path) for f in ("NFC", "NFD")))
        return epath.Path(next(filter(os.path.lexists, spellings), path))
    if scheme not in _BACKENDS:
        known = ", ".join(f"{name}://" for name in _BACKENDS)
        raise UserError(
            f"{text}: {scheme}:// is not supported; use a local path, or {known}."
        )
    package = _BACKENDS[scheme]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{text} needs a package: pip install {package}")
    if scheme == "gs":
        import fsspec  # Comes with gcsfs.

        # Listings would be remembered, and what others write would go unseen.
        fsspec.config.conf.setdefault("gs", {})["use_listings_cache"] = False
        # It logs tracebacks of what it raises.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    return epath.Path(text)


def seen_from_here(path: epath.PathLike) -> str:
    """Names a path in a message; a relative one with the folder it was looked for in.

    Whoever runs a command in another folder than usual sees it at once.
    """
    text = os.fspath(path)
    if is_remote(text) or os.path.isabs(text):
        return text
    return f"{text} in {os.getcwd()}"


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path is on an object store, which has no renaming and no locks."""
    return re.match(r"\w+://", os.fspath(path)) is not None


def absolute(path: epath.PathLike) -> epath.Path:
    """Makes a local path absolute; `gs://...` is: `epath` would make it local."""
    path = epath.Path(path)
    return path if is_remote(path) else path.resolve()


def cache_folder() -> epath.Path:
    """The project's folder in the user's cache (XDG Base Directory specification).

    Nothing is made. Whatever is in it can be deleted at any time.

    Raises:
      UserError: the user has no home folder, and XDG_CACHE_HOME is not set.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(root):  # The specification: relative ones are ignored.
        root = os.path.expanduser("~/.cache")
    if not os.path.isabs(root):
        raise UserError(
            "there is no home folder for caches; set XDG_CACHE_HOME to a folder."
        )
    return epath.Path(root) / "cyclegan_jax"


@contextlib.contextmanager
def folders_above(path: epath.Path) -> Iterator[None]:
    """Makes the folders above a file that is written inside.

    Where that fails or is interrupted, none that was made for it is left empty.
    """
    remote = is_remote(path)  # Where there are none.
    missing = [p for p in path.parents if not remote and not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # Others may have files in them.
            for folder in missing:
                folder.rmdir()
        raise


def write(path: epath.PathLike, content: bytes | str) -> None:
    """Writes a file in one go: readers see the old one, or the new one, whole.

    On a local disk that takes a temporary file; object stores do it by themselves.

    Raises:
      OSError: it cannot be written; nothing is left behind.
    """
    path = epath.Path(path)
    if isinstance(content, str):  # A file's name in it may not be UTF-8.
        content = content.encode(errors="backslashreplace")
    if is_remote(path):
        path.write_bytes(content)
        return
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{digest}.tmp")  # Short: the name may be 255 bytes.
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        if temporary.is_file():
            temporary.unlink()
        raise


def write_json(path: epath.PathLike, value: Any) -> None:
    """Writes JSON values as `write` does, indented for people."""
    write(path, json.dumps(value, indent=2) + "\n")


def save_png(path: epath.PathLike, pixels: np.ndarray) -> None:
    """Writes uint8 [H, W] or [H, W, C] as `write` does."""
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write(path, buffer.getvalue())
