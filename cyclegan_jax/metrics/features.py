"""Inception features of pictures, by either of the two conventions in use."""

import io
import zipfile
from collections.abc import Iterable

import jax
import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import images, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.devices import Spread
from cyclegan_jax.metrics import inception
from cyclegan_jax.torch_files.download import download

# The weights' public release; torch-fidelity and pytorch-fid publish the same file.
URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
# How pictures become 299x299. clean: Pillow's bicubic filter, as clean-fid does since
# Parmar et al. 2022; legacy_pytorch: bilinear without a low-pass, as pytorch-fid.
CONVENTIONS = ("clean", "legacy_pytorch")


def load_weights(path: epath.PathLike | None = None) -> dict:
    """Loads the FID network's weights.

    Args:
      path: of `pt_inception-2015-12-05-6726825d.pth`, or of an .npz with the same
        tensors by the same names; None for the cache folder, or their public release,
        whose SHA-256 must be the known one.

    Raises:
      UserError: they are not there and cannot be fetched, or are something else.
    """
    path = epath.Path(path or download(URL, sha256=SHA256))
    read = _read_npz if path.suffix == ".npz" else torch_files.read
    return inception.from_torch(read(path), str(path))


def _read_npz(path):
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read as .npz ({reason}).") from error


def resize(pictures: np.ndarray, convention: str) -> np.ndarray:
    """Brings uint8 [B, H, W, C] to float32 [B, 299, 299, 3] for the network."""
    pictures = images.as_rgb(pictures)
    size = (inception.SIZE, inception.SIZE)
    if convention == "legacy_pytorch":
        shape = (len(pictures), *size, 3)
        values = pictures.astype(np.float32) / np.float32(255.0)
        resized = jax.image.resize(values, shape, "bilinear", antialias=False)
        return 2.0 * np.asarray(resized) - 1.0
    if convention != "clean":
        raise ValueError(f"unknown convention {convention!r}")
    result = np.empty((len(pictures), *size, 3), np.float32)
    for index, picture in enumerate(pictures):
        for channel in range(3):
            plane = Image.fromarray(picture[..., channel].astype(np.float32))
            plane = plane.resize(size, Image.Resampling.BICUBIC)
            result[index, ..., channel] = np.clip(np.asarray(plane), 0.0, 255.0)
    return (result - 128.0) / 128.0


class Extractor:
    """Computes features on the devices of all processes, which call it alike."""

    def __init__(self, variables: dict):
        """Places the weights; see `load_weights`."""
        self._spread = Spread(inception.Inception().apply, all_processes=True)
        self._variables = self._spread.place(variables)

    def __call__(self, batches: Iterable[np.ndarray], convention: str) -> np.ndarray:
        """Returns float64 [N, 2048] of uint8 [B, H, W, C] batches of any sizes."""
        found = []
        for pictures in batches:
            values = self._spread(self._variables, resize(pictures, convention))
            found.append(values.astype(np.float64))
        return np.concatenate(found)
