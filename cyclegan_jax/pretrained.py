"""The published PyTorch models, and how they are fetched."""

import dataclasses
import hashlib
import os
import tempfile

import requests
from etils import epath
from tqdm import tqdm

from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError

_CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"
_PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/models-pytorch"
_LARGEST = 2**31  # Bytes; the largest published file has 218 MB.
_TIMEOUT = 30  # Seconds without an answer.


@dataclasses.dataclass(frozen=True)
class Model:
    """A published generator.

    Attributes:
      url: where the authors keep it. They publish no checksums, and a transfer over
        plain HTTP proves nothing: the SHA-256 of what came is printed and kept in the
        run's run.json, and `--sha256` demands a certain one.
      config: the config file of its data set, without ".py", and a variant after a
        colon.
      generator: our name of it in that config: `g_ab` or `g_ba`.
    """

    url: str
    config: str
    generator: str


def _models():
    both_ways = {
        "apple2orange": ("apple2orange", "g_ab"),
        "orange2apple": ("apple2orange", "g_ba"),
        "summer2winter_yosemite": ("summer2winter_yosemite", "g_ab"),
        "winter2summer_yosemite": ("summer2winter_yosemite", "g_ba"),
        "horse2zebra": ("horse2zebra", "g_ab"),
        "zebra2horse": ("horse2zebra", "g_ba"),
        "monet2photo": ("monet2photo", "g_ab"),
        "style_monet": ("monet2photo", "g_ba"),
        "style_cezanne": ("cezanne2photo", "g_ba"),
        "style_ukiyoe": ("ukiyoe2photo", "g_ba"),
        "style_vangogh": ("vangogh2photo", "g_ba"),
        "sat2map": ("maps", "g_ab"),
        "map2sat": ("maps", "g_ba"),
        "cityscapes_photo2label": ("cityscapes", "g_ab"),
        "cityscapes_label2photo": ("cityscapes", "g_ba"),
        "facades_photo2label": ("facades", "g_ab"),
        "facades_label2photo": ("facades", "g_ba"),
        "iphone2dslr_flower": ("iphone2dslr_flower", "g_ab"),
    }
    paired = {
        "pix2pix_edges2shoes": ("pix2pix:folder", "g_ab"),
        "pix2pix_sat2map": ("pix2pix:maps", "g_ab"),
        "pix2pix_map2sat": ("pix2pix:maps+BtoA", "g_ba"),
        "pix2pix_facades_label2photo": ("pix2pix:facades+BtoA", "g_ba"),
        "pix2pix_day2night": ("pix2pix:folder", "g_ab"),
    }
    models = {n: Model(f"{_CYCLEGAN}/{n}.pth", *rest) for n, rest in both_ways.items()}
    for name, rest in paired.items():
        url = f"{_PIX2PIX}/{name.removeprefix('pix2pix_')}.pth"
        models[name] = Model(url, *rest)
    return models


MODELS = _models()


def find(name: str) -> Model:
    """Returns the published model of that name.

    Raises:
      UserError: there is none; lists them.
    """
    if name not in MODELS:
        raise UserError(
            f"there is no published model {name!r}; there are {', '.join(MODELS)}."
        )
    return MODELS[name]


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
