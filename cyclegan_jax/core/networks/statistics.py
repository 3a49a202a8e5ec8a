"""Mean and variance of each channel of each image, as each platform computes them best.

By definition the variance takes a second pass, over differences to the mean. On a TPU
that is another journey of the activations through its memory; there both come from one
pass, as the mean of squares less the square of the mean. It loses digits where the mean
is many deviations from 0: a few more of the last bits of float32, which TPUs do not
keep in convolutions anyway.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax


@functools.partial(jax.jit, inline=True)  # Traced once a shape.
def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and biased variance over H and W.

    Args:
      x: [B, H, W, C], float32.

    Returns:
      Two arrays [B, 1, 1, C].
    """
    return lax.platform_dependent(x, tpu=_in_one_pass, default=_by_definition)


def _mean(x):
    return jnp.mean(x, axis=(1, 2), keepdims=True)


def _by_definition(x):
    mean = _mean(x)
    return mean, _mean(jnp.square(x - mean))


def _in_one_pass(x):
    mean = _mean(x)
    # Rounding could make it negative where all pixels are equal.
    return mean, jnp.maximum(_mean(jnp.square(x)) - jnp.square(mean), 0.0)
