"""Features of published networks, for FID and KID."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import files, images
from cyclegan_jax.core.networks.published import Published
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.spread import Spread
from cyclegan_jax.torch_files import published
from cyclegan_jax.torch_files.download import file_sha256


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A published network, as a source of features for metrics.

    Attributes:
      network: with its weights' origin; maps of features are averaged over space.
      prepare: convention, as in the metrics' keys -> function from uint8 [B, H, W, C]
        to the input of the network's module.
      fid: the Frechet distance of these features is the published FID.
    """

    network: Published
    prepare: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    fid: bool = False

    @property
    def name(self) -> str:
        """The name of its setting and flag."""
        return self.network.name

    @property
    def measured(self) -> str:
        """The metrics computed from its features, for messages."""
        if self.fid:
            return "FID and KID"
        what = "KID and structure distance" if self.network.keys else "KID"
        return f"{what} by {self.network.title}"

    def load_weights(self, path: epath.PathLike | None = None) -> dict[str, Any]:
        """Loads the module's variables.

        Args:
          path: of the published file, or of an .npz with the same tensors by the same
            names; None for the installed package, the cache, or the public release.

        Raises:
          UserError: they are missing and cannot be downloaded, or do not fit.
        """
        path = files.as_path(path or published.locate(self.network))
        tensors = published.read_tensors(path)
        network = self.network
        return {"params": network.from_torch(network.module, tensors, str(path))}

    def load(
        self, setting: str, *, by_image: bool = False
    ) -> "tuple[Features | None, str]":
        """Loads the network that a setting or flag names.

        Args:
          setting: a file; `auto`: see `torch_files.published.locate`; or `none`.
          by_image: see `machine.spread.Spread`.

        Returns:
          The network or None, and a note for the user.

        Raises:
          UserError: the file cannot be used.
        """
        if setting == "none":
            return None, f"{self.measured} were not requested." if self.fid else ""
        auto = setting == published.AUTO
        try:
            path = published.locate(self.network) if auto else setting
            variables = self.load_weights(path)
        except UserError as error:
            if not auto:
                raise
            return None, f"{self.measured} missing: {error}"
        return Features(self, variables, by_image=by_image), self._provenance(path)

    def _provenance(self, file):
        digest, package = file_sha256(file), self.network.package
        if digest == self.network.sha256:
            return ""
        if package and digest == package.sha256:
            return f"{self.measured}: weights of {package.name} {package.version}."
        known = self.network.sha256 or (package.sha256 if package else "")
        return (
            f"{self.measured}: weights in {file} (SHA-256 {digest[:16]}...),"
            f" which is not the published file ({known[:16]}...): unless it was"
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
        module = extractor.network.module

        def pooled(variables, images):
            maps = module.apply(variables, images)
            return maps if maps.ndim == 2 else jnp.mean(maps, axis=(1, 2))

        def keys(variables, images):
            return module.apply(variables, images, keys=True)

        spread = functools.partial(Spread, all_processes=True, by_image=by_image)
        self._pooled, self._keys = spread(pooled), spread(keys)
        self._variables = self._pooled.place(variables)

    def __call__(self, batches: Iterable[np.ndarray], convention: str) -> np.ndarray:
        """Returns features of images, float64 [N, features].

        Args:
          batches: uint8 [B, H, W, C] of any sizes.
          convention: a key of `Extractor.prepare`.
        """
        prepare = self.extractor.prepare[convention]
        features = [
            self._pooled(self._variables, prepare(batch)).astype(np.float64)
            for batch in batches
        ]
        return np.concatenate(
            [np.zeros((0, self.extractor.network.features)), *features]
        )

    def keys(self, batch: np.ndarray) -> np.ndarray:
        """Returns the keys of images, float32 [B, tokens, D]; see `Published.keys`.

        Args:
          batch: uint8 [B, H, W, C].
        """
        (prepare,) = self.extractor.prepare.values()
        return self._keys(self._variables, prepare(batch))


def resize(batch: np.ndarray, side: int, middle: float = 127.5) -> np.ndarray:
    """Resizes with Pillow's bicubic filter, like clean-fid (Parmar et al. 2022).

    Args:
      batch: uint8 [B, H, W, C].
      side: of the result, in pixels.
      middle: the value that becomes 0; 128 in clean-fid.

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
    return (result - np.float32(middle)) / np.float32(middle)
