"""Blurred sampling, which does not alias (Zhang 2019), as in CUT's networks.

Both filters are binomial and have no parameters. As sums of shifted images they are
exact, the same on all platforms, and cost next to nothing beside a convolution.
"""

import jax
import jax.numpy as jnp


def downsample(x: jax.Array) -> jax.Array:
    """Blurs with [1, 2, 1] / 4 and keeps every second pixel; the padding mirrors.

    Args:
      x: [B, H, W, C], H and W at least 2.

    Returns:
      [B, ceil(H / 2), ceil(W / 2), C].
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    x = 0.25 * (x[:, :-2:2] + x[:, 2::2]) + 0.5 * x[:, 1:-1:2]
    return 0.25 * (x[:, :, :-2:2] + x[:, :, 2::2]) + 0.5 * x[:, :, 1:-1:2]


def upsample(x: jax.Array) -> jax.Array:
    """Doubles height and width with [1, 3, 3, 1] / 4; the padding repeats the border.

    This is bilinear interpolation.

    Args:
      x: [B, H, W, C].

    Returns:
      [B, 2H, 2W, C].
    """
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    above, middle, below = 0.25 * x[:, :-2], 0.75 * x[:, 1:-1], 0.25 * x[:, 2:]
    x = jnp.stack([above + middle, middle + below], axis=2)
    x = x.reshape(batch, 2 * height, width + 2, channels)
    left, middle, right = 0.25 * x[:, :, :-2], 0.75 * x[:, :, 1:-1], 0.25 * x[:, :, 2:]
    x = jnp.stack([left + middle, middle + right], axis=3)
    return x.reshape(batch, 2 * height, 2 * width, channels)
