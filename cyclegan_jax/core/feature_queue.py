"""Features of past images, which a discriminator's batch head compares new ones with.

Torbunov et al. 2023 (UVCGAN v2): the last few features of real and of generated images
are kept apart. Here every slot of the global batch has separate queues: at batch size 1
this is the published algorithm, and results do not depend on how slots are spread over
devices.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

POOL = "queues"  # What they are called among the image pools, and for losses.
NEWEST = "features"  # What the features of a step are called among a phase's outputs.


class FeatureQueue(NamedTuple):
    """Queues of B slots.

    Attributes:
      features: [B, size, H, W, C]; the last `count` of a slot are valid, newest last.
      count: [B] int32, features stored so far, at most `size`.
    """

    features: jax.Array
    count: jax.Array  # type: ignore[assignment]  # Also a method of tuples.

    def push(self, features: jax.Array) -> "FeatureQueue":
        """Adds [B, H, W, C] features in place of each slot's oldest."""
        newest = features[:, None].astype(jnp.float32)
        kept = jnp.concatenate([self.features[:, 1:], newest], axis=1)
        return FeatureQueue(kept, jnp.minimum(self.count + 1, kept.shape[1]))


class Queues(NamedTuple):
    """Those of a discriminator.

    Attributes:
      real: of real images.
      fake: of generated images.
    """

    real: FeatureQueue
    fake: FeatureQueue

    def at(self, real: float | jax.Array) -> FeatureQueue:
        """Returns what images are compared with.

        Args:
          real: 1 for real images, 0 for generated ones; or, for mixtures of both, [B]
            shares of the real ones, by which the features are mixed, too.
        """
        if isinstance(real, int | float):
            return self.real if real else self.fake
        share = real.reshape(-1, 1, 1, 1, 1)
        mixed = share * self.real.features + (1.0 - share) * self.fake.features
        return FeatureQueue(mixed, self.real.count)


def create(slots: int, size: int, shape: tuple[int, ...]) -> Queues:
    """Returns empty queues for `size` features of that shape, [H, W, C]."""

    def empty():
        features = jnp.zeros((slots, size, *shape), jnp.float32)
        return FeatureQueue(features, jnp.zeros((slots,), jnp.int32))

    return Queues(empty(), empty())


def push(
    queues: Mapping[str, Queues], features: Mapping[str, tuple[jax.Array, jax.Array]]
) -> dict[str, Queues]:
    """Adds a step's features.

    Args:
      queues: by the discriminator's name.
      features: of real and of generated images, each [B, H, W, C], by the same names.
    """
    return {
        name: Queues(*map(FeatureQueue.push, queues[name], features[name]))
        for name in queues
    }
