"""Convolutions of every channel by itself (depthwise), for inference and gradients.

XLA:CPU packs a matrix for each channel, of a single column: EfficientNet-lite0 takes
eight times as long as with the form here.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def conv_general_dilated(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **settings: Any,
) -> jax.Array:
    """`lax.conv_general_dilated` with a group for each channel, as `nn.Conv` calls it.

    Args:
      x: [B, H, W, C].
      kernel: [kh, kw, 1, C].
      strides: of H and W, in pixels.
      padding: "SAME", "VALID", or zeros before and after, for H and W.
      settings: of `lax.conv_general_dilated`; without dilation.

    Returns:
      [B, H', W', C].
    """
    form: Any = {"window_strides": tuple(strides), "padding": padding}
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_shifted, **form),
        default=functools.partial(lax.conv_general_dilated, **form, **settings),
    )


def _shifted(x, kernel, *, window_strides, padding):
    """The sum of the shifted images, each times a tap."""
    size, (down, right) = kernel.shape[:2], window_strides
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], size, window_strides, padding)
    padded = jnp.pad(x.astype(jnp.float32), ((0, 0), *padding, (0, 0)))
    height = (padded.shape[1] - size[0]) // down * down + 1
    width = (padded.shape[2] - size[1]) // right * right + 1
    taps = kernel.astype(jnp.float32)
    total: Any = sum(
        padded[:, i : i + height : down, j : j + width : right]
        * taps[i : i + 1, j : j + 1]
        for i in range(size[0])
        for j in range(size[1])
    )
    return total.astype(x.dtype)
