"""Files of weights, fetched once.

pooch downloads and retries. Added here: a size limit, a check that the content is a
file of weights (not, say, a login page), and no retries of permanent errors.
"""

import hashlib
import logging
import tempfile

import pooch
import requests
from etils import epath

from cyclegan_jax import files, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.progress import Progress

_LARGEST = 2**31  # Bytes; the largest published file has 218 MB.
_TIMEOUT = 30  # Seconds without an answer.
_RETRIES = 2


def download(
    url: str, folder: epath.PathLike | None = None, *, sha256: str = ""
) -> epath.Path:
    """Fetches a file of weights once into a cache folder, with a progress bar.

    Args:
      url: of the file.
      folder: the cache; by default `files.cache_folder()`.
      sha256: that the file must have, where it is known.

    Returns:
      Where the file is.

    Raises:
      UserError: there is no network, no such file, or no place for it; or what comes
        is no file of weights, or another one.
    """
    if found := cached(url, folder, sha256=sha256):
        return found
    target = _target(url, folder)
    folder, name = target.parent, target.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            part = _fetch(url, name, temporary)
            try:
                torch_files.read(part)  # Not a login page, say, kept for ever.
                check_sha256(part, sha256)
            except UserError as error:  # What came is deleted: its name says nothing.
                text = str(error).replace(str(part), url)
                raise UserError(text.replace("; delete it.", ".")) from error
            part.replace(target)  # All of it or nothing.
    except (requests.RequestException, ValueError, _Refused) as error:
        raise UserError(
            f"{url} cannot be fetched ({_reason(error)}); where there is a network,"
            f" download it, and put it at {target} here or name the file itself."
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error}); set"
            " XDG_CACHE_HOME to a folder that can, or name the file itself."
        ) from error
    return target


def cached(
    url: str, folder: epath.PathLike | None = None, *, sha256: str = ""
) -> epath.Path | None:
    """Returns where `download` has put a file before; None if it is not there.

    Raises:
      UserError: it has another checksum.
    """
    target = _target(url, folder)
    if not target.exists():
        return None
    check_sha256(target, sha256)
    return target


def _target(url, folder):
    folder = files.as_path(folder or files.cache_folder())
    return folder / url.rpartition("://")[2].replace("/", "_")


class _Bar(Progress):
    """A progress bar that ends a download of endless length."""

    def __init__(self, name: str):
        super().__init__(unit="B", unit_scale=True, desc=name)
        self._came: float = 0

    def __bool__(self) -> bool:
        return True  # `tqdm`'s is False where the size is not known.

    def update(self, n: float | None = 1) -> bool | None:
        self._came += n or 0
        if self._came > _LARGEST:
            raise _Refused(f"more than {_LARGEST} bytes came")
        return super().update(n)

    def reset(self, total: float | None = None) -> None:
        self._came = 0  # pooch counts everything again at the end.
        super().reset(total)


class _Refused(Exception):
    """An error that a retry cannot fix."""


def _fetch(url, name, folder):
    def get(url, file, cache):
        try:
            with _Bar(name) as bar:
                pooch.HTTPDownloader(
                    progressbar=bar,
                    chunk_size=2**20,
                    timeout=_TIMEOUT,
                    headers={"Accept-Encoding": "identity"},
                )(url, file, cache)
        except requests.HTTPError as error:
            if error.response.status_code >= 500:
                raise
            raise _Refused(_reason(error)) from error

    pooch.get_logger().setLevel(logging.ERROR)
    kwargs = {"registry": {name: None}, "urls": {name: url}}
    cache = pooch.create(folder, "", **kwargs, retry_if_failed=_RETRIES)
    return epath.Path(cache.fetch(name, downloader=get))


def _reason(error):
    if isinstance(error, requests.HTTPError):
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.RequestException):
        return "no connection"
    return str(error)  # Ours, or a server whose headers are no numbers.


def check_sha256(path: epath.PathLike, expected: str) -> None:
    """Compares a file's checksum, unless there is nothing to compare it with.

    Raises:
      UserError: it has another one.
    """
    if expected and (actual := file_sha256(path)) != expected.lower():
        raise UserError(f"{path} has the SHA-256 {actual}, not {expected}; delete it.")


def file_sha256(path: epath.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with files.as_path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
