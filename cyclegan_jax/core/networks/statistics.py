"""Standardised channels of images, as each platform computes mean and variance best.

By definition the variance takes a second pass, over differences to the mean. On TPUs
and GPUs that is another journey of the activations through memory, so there both come
from one pass: as the mean of squares less the square of the mean, which loses digits
where the mean is many deviations from 0. TPUs do not keep those in convolutions anyway;
GPUs first subtract a pixel from float32 values, while bfloat16's 8 bits need none.
GPUs also sum line by line.

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
    mean, slope = lax.platform_dependent(
        dy, dy * y, cuda=_by_lines, rocm=_by_lines, default=_at_once
    )
    dx = factor * (dy - mean - y * slope)
    return (dx.astype(rounded.dtype),)


standardise.defvjp(_forward, _backward)


def _mean(x):
    return jnp.mean(x, axis=(1, 2), keepdims=True)


def _at_once(a, b):
    return _mean(a), _mean(b)


def _by_lines(a, b):
    """The same two means, by sums of rows first, and then of these.

    XLA for GPUs computes no products in a kernel of few, long sums: it stores them
    first. Stacking the sums of rows keeps both steps from becoming such a kernel.
    """
    pixels = a.shape[1] * a.shape[2]
    rows = [jnp.sum(x, axis=2) / pixels for x in (a, b)]
    mean_a, mean_b = jnp.sum(jnp.stack(rows), axis=2)[..., None, None, :]
    return mean_a, mean_b


def _by_definition(x):
    x = x.astype(jnp.float32)
    mean = _mean(x)
    return mean, _mean(jnp.square(x - mean))


def _in_one_pass(x, means=_at_once):
    x = x.astype(jnp.float32)
    mean, mean_square = means(x, jnp.square(x))
    # Rounding could make it negative where all pixels are equal.
    return mean, jnp.maximum(mean_square - jnp.square(mean), 0.0)


def _shifted(x):
    if x.dtype != jnp.float32:
        return _in_one_pass(x, _by_lines)
    pixel = lax.stop_gradient(x[:, :1, :1])  # It cancels out, but for rounding.
    mean, var = _in_one_pass(x - pixel, _by_lines)
    return mean + pixel, var
