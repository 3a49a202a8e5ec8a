"""Features of published networks, for FID and KID."""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath
from flax import linen as nn
from PIL import Image

from cyclegan_jax import files, images, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.spread import Spread
from cyclegan_jax.torch_files.download import download, file_sha256


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A published network that maps images to features.

    Attributes:
      name: of its weights' setting and flag.
      title: its name in texts.
      module: maps what `prepare` returns to features float32 [B, features].
      features: their number.
      prepare: convention, as in the metrics' keys -> function from uint8 [B, H, W, C]
        to the input of the module.
      from_torch: maps tensors with PyTorch's names, and the file's name for messages,
        to the module's variables.
      url: of the weights' public release.
      sha256: of that file.
      fid: the Frechet distance of these features is the published FID.
    """

    name: str
    title: str
    module: nn.Module
    features: int
    prepare: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    from_torch: Callable[[Mapping[str, np.ndarray], str], dict[str, Any]]
    url: str
    sha256: str
    fid: bool = False

    @property
    def measured(self) -> str:
        """The metrics computed from its features, for messages."""
        return "FID and KID" if self.fid else f"KID by {self.title}"

    def load_weights(self, path: epath.PathLike | None = None) -> dict[str, Any]:
        """Loads the module's variables.

        Args:
          path: of the published file, or of an .npz with the same tensors by the same
            names; None for the cache folder, or the public release, whose SHA-256 must
            be the known one.

        Raises:
          UserError: they are missing and cannot be downloaded, or do not fit.
        """
        path = files.as_path(path or download(self.url, sha256=self.sha256))
        read = _read_npz if path.suffix == ".npz" else torch_files.read
        return self.from_torch(read(path), str(path))

    def load(
        self, setting: str, *, by_image: bool = False
    ) -> "tuple[Features | None, str]":
        """Loads the network that a setting or flag names.

        Args:
          setting: a file; `auto`: the cache or the public release; or `none`.
          by_image: see `machine.spread.Spread`.

        Returns:
          The network or None, and a note for the user.

        Raises:
          UserError: the file cannot be used.
        """
        if setting == "none":
            return None, f"{self.measured} were not requested." if self.fid else ""
        try:
            variables = self.load_weights(None if setting == "auto" else setting)
        except UserError as error:
            if setting != "auto":
                raise
            return None, f"{self.measured} are missing: {error}"
        note = "" if setting == "auto" else self._provenance(setting)
        return Features(self, variables, by_image=by_image), note

    def _provenance(self, file):
        digest = file_sha256(file)
        if digest == self.sha256:
            return ""
        return (
            f"{self.measured} use the weights in {file} (SHA-256 {digest[:16]}...),"
            f" which is not the published file ({self.sha256[:16]}...): unless it was"
            " converted from that one, these values are not comparable with others'."
        )


class Features:
    """Computes features on the devices of all processes; all must call it alike.

    Attributes:
      extractor: the network.
    """

    def __init__(
        self, extractor: Extractor, variables: dict[str, Any], *, by_image: bool = False
    ):
        """Replicates the variables; see `Extractor.load_weights` and `Spread`."""
        self.extractor = extractor
        self._spread = Spread(
            extractor.module.apply, all_processes=True, by_image=by_image
        )
        self._variables = self._spread.place(variables)

    def __call__(self, batches: Iterable[np.ndarray], convention: str) -> np.ndarray:
        """Returns features of images, float64 [N, features].

        Args:
          batches: uint8 [B, H, W, C] of any sizes.
          convention: a key of `Extractor.prepare`.
        """
        prepare = self.extractor.prepare[convention]
        features = [
            self._spread(self._variables, prepare(batch)).astype(np.float64)
            for batch in batches
        ]
        return np.concatenate([np.zeros((0, self.extractor.features)), *features])


def resize(batch: np.ndarray, side: int) -> np.ndarray:
    """Resizes with Pillow's bicubic filter, like clean-fid (Parmar et al. 2022).

    Args:
      batch: uint8 [B, H, W, C].
      side: of the result, in pixels.

    Returns:
      float32 [B, side, side, 3] in [-1, 1].
    """
    batch = images.as_rgb(batch)
    result = np.empty((len(batch), side, side, 3), np.float32)
    for index, image in enumerate(batch):
        for channel in range(3):
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            plane = plane.resize((side, side), Image.Resampling.BICUBIC)
            result[index, ..., channel] = np.clip(np.asarray(plane), 0.0, 255.0)
    return (result - 128.0) / 128.0


def _read_npz(path):
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read as .npz ({reason}).") from error
