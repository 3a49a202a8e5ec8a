"""Stride-1 convolutions of images whose horizontal taps become channels.

Where an image of few channels comes in or goes out, a kh x kw convolution leaves most
of a vector unit empty. A kh x 1 convolution with kw times as many of those channels
computes the same products.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.core.networks.convolutions import xla
from cyclegan_jax.core.networks.convolutions.window import Window

FEW = 8  # Channels, of which a vector unit has room for more.
LARGE = 5  # Side of a kernel.


def from_few(padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`; for few channels in: shifted images, side by side."""
    kh, kw, channels, out = kernel.shape
    x = zero_pad(x, padding)
    width = x.shape[2] - kw + 1
    seen = jnp.concatenate([x[:, :, j : j + width] for j in range(kw)], axis=-1)
    taps = kernel.reshape(kh, 1, kw * channels, out)
    return xla.conv(Window(taps.shape, 1, 0), seen, taps)


def to_few(padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`; for few channels out: results are shifted and added."""
    kh, kw, channels, out = kernel.shape
    x = zero_pad(x, padding)
    taps = kernel.transpose(0, 2, 1, 3).reshape(kh, 1, channels, kw * out)
    y = xla.conv(Window(taps.shape, 1, 0), x, taps)  # [B, H', W, kw O]
    width = x.shape[2] - kw + 1
    parts = [y[:, :, j : j + width, j * out : (j + 1) * out] for j in range(kw)]
    total: Any = sum(part.astype(jnp.float32) for part in parts)
    return total.astype(x.dtype)


def zero_pad(x: jax.Array, padding: int) -> jax.Array:
    """Adds so many zeros on each of an image's four sides."""
    return jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def pad(x: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    """Adds so many zeros along an axis; negative numbers take elements away."""
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (before, after, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), widths)
