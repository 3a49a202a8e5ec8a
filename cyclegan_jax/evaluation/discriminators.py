"""Scores of a run's discriminators, for metrics."""

import jax.numpy as jnp
import numpy as np

from cyclegan_jax import images
from cyclegan_jax.core.methods.interface import Method, Variables
from cyclegan_jax.machine.spread import Spread


class DiscriminatorScores:
    """The discriminators that see images of one domain, in evaluation mode.

    Attributes:
      domains: "a", "b", both or none: those that have one (d_a, d_b) that scores an
        image by itself.
    """

    def __init__(
        self,
        method: Method,
        *,
        by_image: bool = False,
        pixels: images.DomainPixels = images.PICTURES,
    ):
        """Prepares them; `use` gives them their variables.

        Args:
          method: of the run; one that learns from pairs discriminates pairs.
          by_image: see `machine.spread.Spread`.
          pixels: how the images of each domain are stored.
        """
        self._pixels = pixels
        modules = {} if method.paired else method.modules
        self.domains = [
            d
            for d in "ab"
            if f"d_{d}" in modules and not getattr(modules[f"d_{d}"], "queue_size", 0)
        ]
        self._variables: Variables = {}
        self._spreads = {
            domain: Spread(
                _mean_score(method.modules[f"d_{domain}"]),
                all_processes=True,
                by_image=by_image,
            )
            for domain in self.domains
        }

    def use(self, variables: Variables) -> None:
        """Takes the variables of a checkpoint, by network name."""
        self._variables = {
            domain: spread.place(variables[f"d_{domain}"])
            for domain, spread in self._spreads.items()
        }

    def __call__(self, domain: str, pictures: np.ndarray) -> np.ndarray:
        """Returns [B] mean scores of an image's patches, without augmentation.

        Args:
          domain: one of `domains`.
          pictures: [B, H, W, C], as stored.
        """
        values = self._pixels[domain].to_float(pictures)
        return self._spreads[domain](self._variables[domain], values)


def _mean_score(module):
    def score(variables, values):
        return jnp.mean(module.apply(variables, values), axis=(1, 2, 3))

    return score
