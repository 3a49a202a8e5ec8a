"""The heads of CUT's contrastive loss (Park et al. 2020): features to unit vectors."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.networks import layers


class PatchProjection(nn.Module):
    """Maps features of patches to vectors of length 1, by two dense layers for each.

    Attributes:
      heads: layers whose features it takes.
      width: of the hidden and the output vectors.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the vectors are float32.
    """

    heads: int = 5
    width: int = 256
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Sequence[jax.Array], *, train: bool = False
    ) -> tuple[jax.Array, ...]:
        """Projects the features of each layer by a network of its own.

        Args:
          features: [B, P, C] for each layer, with its own P and C.
          train: changes nothing.

        Returns:
          [B, P, width] for each layer.
        """
        del train
        init = layers.kernel_init(self.init_type, self.init_gain)
        vectors = []
        for i, x in zip(range(self.heads), features, strict=True):
            for j in range(2):
                x = nn.relu(x) if j else x
                dense = nn.Dense(
                    self.width, dtype=self.dtype, kernel_init=init, name=f"mlp_{i}_{j}"
                )
                x = dense(x)
            x = x.astype(jnp.float32)
            vectors.append(x * _reciprocal_length(x))
        return tuple(vectors)


def _reciprocal_length(x):
    """1 / (|x| + 1e-7) of [..., C]: [..., 1]; of zeros 0, whose gradient is 0, not NaN.

    Multiplied by, not divided by: XLA rewrites divisions by broadcast values, in other
    ways for one device than for several.
    """
    squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    is_zero = squares == 0.0
    length = jnp.sqrt(jnp.where(is_zero, 1.0, squares))
    return jnp.where(is_zero, 0.0, 1.0 / (length + 1e-7))


def draw(
    keys: jax.Array, pixels: tuple[int, ...], patches: int
) -> tuple[jax.Array, ...]:
    """Draws places without repetition, others for each image and layer.

    Args:
      keys: [B] PRNG keys, one per slot.
      pixels: of the features of each layer.
      patches: to draw, or all if a layer has fewer.

    Returns:
      int32 [B, P] for each layer, in [0, pixels).
    """

    def of_image(key, layer, count):
        numbers = jax.random.uniform(jax.random.fold_in(key, layer), (count,))
        # A hundred times as fast on CPUs as a permutation, which is sorted.
        return jax.lax.top_k(numbers, min(patches, count))[1]

    return tuple(
        jax.vmap(functools.partial(of_image, layer=layer, count=count))(keys)
        for layer, count in enumerate(pixels)
    )


def take(features: jax.Array, places: jax.Array) -> jax.Array:
    """Returns [B, P, C] of [B, H, W, C] at [B, P] places, all different."""

    def of_image(pixels, places):
        # The gradient adds to every place once: no order, the same bits every time.
        return pixels.at[places].get(unique_indices=True, mode="promise_in_bounds")

    pixels = features.reshape(len(features), -1, features.shape[-1])
    return jax.vmap(of_image)(pixels, places)
