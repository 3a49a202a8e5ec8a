"""The head of UVCGAN v2's discriminators, with batch statistics over a queue."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.feature_queue import FeatureQueue
from cyclegan_jax.core.networks import layers

_EPSILON = 1e-6


class BatchHead(nn.Module):
    """Scores features, given how much they vary over images (Torbunov et al. 2023).

    The standard deviation over an image and its slot's queue becomes one more channel,
    as in Karras et al. 2018 over a batch; then two convolutions of 3x3.

    Attributes:
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the convolutions.
    """

    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, queue: FeatureQueue | None) -> jax.Array:
        """Maps [B, H, W, C] to scores [B, H, W, 1]; see `deviation` for the queue."""
        conv = functools.partial(
            layers.Conv,
            kernel_size=3,
            padding=1,
            init_type=self.init_type,
            init_gain=self.init_gain,
            dtype=self.dtype,
        )
        channel = jnp.broadcast_to(deviation(x, queue), (*x.shape[:-1], 1))
        y = jnp.concatenate([x, channel.astype(x.dtype)], axis=-1)
        y = nn.leaky_relu(conv(x.shape[-1], name="conv")(y), 0.01)
        return conv(1, name="conv_out")(y)


def deviation(x: jax.Array, queue: FeatureQueue | None) -> jax.Array:
    """Returns the standard deviation over an image and its slot's queue.

    It is that of each value, averaged over places and channels; with an empty queue,
    it is a constant.

    Args:
      x: [B, H, W, C] features of B slots.
      queue: theirs; None for an empty one.

    Returns:
      [B, 1, 1, 1], float32.
    """
    values = [x.astype(jnp.float32)]
    counted = jnp.ones((len(x), 1), jnp.float32)
    if queue is not None:
        size = queue.features.shape[1]
        valid = jnp.arange(size)[None] >= size - queue.count[:, None]
        values = [*jnp.unstack(queue.features, axis=1), *values]
        counted = jnp.concatenate([valid.astype(jnp.float32), counted], axis=1)
    counted /= jnp.sum(counted, axis=1, keepdims=True)
    shares = jnp.unstack(counted.reshape(*counted.shape, 1, 1, 1), axis=1)

    def average(values):
        # Not `jnp.sum` over an axis: on CPUs that takes ten times as long.
        return sum(map(jnp.multiply, shares, values))

    mean = average(values)
    variance = average([jnp.square(value - mean) for value in values])
    return jnp.mean(jnp.sqrt(variance + _EPSILON), axis=(1, 2, 3), keepdims=True)
