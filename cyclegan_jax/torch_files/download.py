"""Files of weights, fetched once."""

import hashlib
import os
import tempfile

import requests
from etils import epath
from tqdm import tqdm

from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError

_LARGEST = 2**31  # Bytes; the largest published file has 218 MB.
_TIMEOUT = 30  # Seconds without an answer.


def download(
    url: str, folder: epath.PathLike | None = None, *, sha256: str = ""
) -> epath.Path:
    """Fetches a file of weights once into a cache folder, with a progress bar.

    Args:
      url: of the file.
      folder: the cache; by default ~/.cache/cyclegan_jax, or under XDG_CACHE_HOME.
      sha256: that the file must have, where it is known.

    Returns:
      Where the file is.

    Raises:
      UserError: there is no network, no such file, or no place for it.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = epath.Path(folder or f"{home}/cyclegan_jax").expanduser()
    name = url.rpartition("://")[2].replace("/", "_")
    target = folder / name
    if target.exists():
        check_sha256(target, sha256)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            part = epath.Path(temporary) / name
            _fetch(url, part)
            torch_files.read(part)  # Not a login page, say, kept for ever.
            check_sha256(part, sha256)
            part.replace(target)  # All of it or nothing.
    except requests.RequestException as error:
        raise UserError(
            f"{url} cannot be fetched ({_reason(error)}); where there is a network,"
            f" download it, and put it at {target} here or name the file itself."
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error})."
        ) from error
    return target


def _fetch(url, target):
    plain = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=_TIMEOUT, headers=plain) as response:
        response.raise_for_status()
        size = response.headers.get("Content-Length", "")
        size = int(size) if size.isdigit() else 0
        with (
            target.open("wb") as file,
            tqdm(
                total=size or None, unit="B", unit_scale=True, desc=target.name
            ) as bar,
        ):
            done = 0
            for chunk in response.iter_content(2**20):
                file.write(chunk)
                done += len(chunk)
                if done > _LARGEST:
                    raise requests.ConnectionError(f"more than {_LARGEST} bytes came")
                bar.update(len(chunk))
    if size and done != size:
        raise requests.ConnectionError(f"{done} of {size} bytes came")


def _reason(error):
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server says {response.status_code} {response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer"
    if "bytes came" in str(error):
        return str(error)
    return "no connection"


def check_sha256(path: epath.PathLike, expected: str) -> None:
    """Compares a file's checksum, unless there is nothing to compare it with.

    Raises:
      UserError: it has another one.
    """
    if expected and (actual := file_sha256(path)) != expected.lower():
        raise UserError(f"{path} has the SHA-256 {actual}, not {expected}; delete it.")


def file_sha256(path: epath.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
