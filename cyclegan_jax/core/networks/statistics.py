"""Standardised channels of images, as each platform computes mean and variance best.

By definition the variance takes a second pass, over differences to the mean. On TPUs
and GPUs that is another journey of the activations through memory, so there both come
from one pass: as the mean of squares less the square of the mean, which loses digits
where the mean is many deviations from 0. TPUs do not keep those in convolutions anyway;
GPUs first subtract a pixel from float32 values, while bfloat16's 8 bits need none.

The gradient is in closed form and saves the result alone, rounded to the input's type.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

EPSILON = 1e-5  # PyTorch's default for its norms; Flax's is 1e-6.


@jax.custom_vjp
def standardise(x: jax.Array) -> jax.Array:
    """Subtracts each channel's mean, and divides by its deviation.

    The variance is the biased one, plus `EPSILON`; both are float32 whatever `x` is.

    Args:
      x: [B, H, W, C].

    Returns:
      The same shape, float32.
    """
    return _with_factor(x)[0]


@functools.partial(jax.jit, inline=True)  # Traced once a shape.
def _with_factor(x):
    mean, var = lax.platform_dependent(
        x, tpu=_in_one_pass, cuda=_shifted, rocm=_shifted, default=_by_definition
    )
    factor = lax.rsqrt(var + EPSILON)
    return (x.astype(jnp.float32) - mean) * factor, factor


@functools.partial(jax.jit, inline=True)
def _forward(x):
    y, factor = _with_factor(x)
    # XLA:CPU would compute it again for whatever uses it, and keep x for that.
    y = lax.platform_dependent(y, cpu=lax.optimization_barrier, default=lambda y: y)
    return y, (y.astype(x.dtype), factor)


@functools.partial(jax.jit, inline=True)
def _backward(saved, dy):
    rounded, factor = saved  # The result, in the input's type.
    y = rounded.astype(jnp.float32)
    dx = factor * (dy - _mean(dy) - y * _mean(dy * y))
    return (dx.astype(rounded.dtype),)


standardise.defvjp(_forward, _backward)


def _mean(x):
    return jnp.mean(x, axis=(1, 2), keepdims=True)


def _by_definition(x):
    x = x.astype(jnp.float32)
    mean = _mean(x)
    return mean, _mean(jnp.square(x - mean))


def _in_one_pass(x):
    x = x.astype(jnp.float32)
    mean = _mean(x)
    # Rounding could make it negative where all pixels are equal.
    return mean, jnp.maximum(_mean(jnp.square(x)) - jnp.square(mean), 0.0)


def _shifted(x):
    if x.dtype != jnp.float32:
        return _in_one_pass(x)
    pixel = x[:, :1, :1]
    mean, var = _in_one_pass(x - pixel)
    return mean + pixel, var
