"""Convolutions, their initialisation, and dropout, with the numbers of the reference.

Shapes use B (batch), H, W (space) and C (channels); images are channels last.
Parameters are float32; `dtype` is what the layers compute in.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.networks import convolutions

INITS = ("normal", "xavier", "kaiming", "orthogonal")


def kernel_init(name: str, gain: float, *, transposed: bool = False) -> Callable:
    """Returns the reference's initialiser for kernels [kh, kw, I, O].

    Args:
      name: `normal` (N(0, gain), the published one), `xavier`, `kaiming` (fan in) or
        `orthogonal`.
      gain: standard deviation for `normal`, factor for `xavier` and `orthogonal`;
        `kaiming` ignores it, as in the reference.
      transposed: for a transposed convolution, whose PyTorch weight is [I, O, kh, kw]:
        there "fan in" counts O, and the orthogonal rows are those of I.
    """
    fan_in, fan_out = (-1, -2) if transposed else (-2, -1)
    if name == "normal":
        return nn.initializers.normal(gain)
    if name == "xavier":
        return nn.initializers.variance_scaling(
            gain**2, "fan_avg", "normal", in_axis=fan_in, out_axis=fan_out
        )
    if name == "kaiming":
        return nn.initializers.variance_scaling(
            2.0, "fan_in", "normal", in_axis=fan_in, out_axis=fan_out
        )
    if name == "orthogonal":
        return nn.initializers.orthogonal(gain, column_axis=fan_out)
    raise ValueError(f"unknown initialisation {name!r}; choose from {INITS}")


class Conv(nn.Module):
    """A convolution with PyTorch's padding.

    Attributes:
      features: output channels.
      kernel_size: height and width of the kernel.
      stride: step of the window.
      padding: zeros on each side; with `reflect`, mirrored pixels instead.
      reflect: whether the padding mirrors the image.
      use_bias: whether there is a bias.
      dead_bias: whether it is left out of the sum, since the norm that follows removes
        it; published weights have it.
      init_type: name of the kernel's initialisation, see `kernel_init`.
      init_gain: its gain.
      dtype: of the computation.

    The collection `places`, if it is there, has what `convolutions.prepare` made of
    the kernel.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    reflect: bool = False
    use_bias: bool = True
    dead_bias: bool = False
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, I] to [B, H', W', O]."""
        k = self.kernel_size
        init = kernel_init(self.init_type, self.init_gain)
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        y = convolutions.conv(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
            reflect=self.reflect,
            places=self.get_variable("places", "kernel"),
        )
        return _add_bias(self, y)


class ConvTranspose(nn.Module):
    """A transposed convolution that doubles H and W, with PyTorch's padding 1.

    The kernel is PyTorch's weight [I, O, kh, kw], flipped in space and channels last.
    Attributes are those of `Conv`.
    """

    features: int
    kernel_size: int
    use_bias: bool = True
    dead_bias: bool = False
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, I] to [B, 2H, 2W, O]."""
        k = self.kernel_size
        init = kernel_init(self.init_type, self.init_gain, transposed=True)
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        y = convolutions.conv_transpose(
            x.astype(self.dtype), kernel.astype(self.dtype), stride=2, padding=1
        )
        return _add_bias(self, y)


def _add_bias(module, y):
    if not module.use_bias:
        return y
    bias = module.param("bias", nn.initializers.zeros_init(), (module.features,))
    if module.dead_bias:
        return y
    return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


def pad(x: jax.Array, width: int, *, reflect: bool) -> jax.Array:
    """Pads [B, H, W, C] on all sides, with mirrored pixels or zeros."""
    sides = ((0, 0), (width, width), (width, width), (0, 0))
    return jnp.pad(x, sides, mode="reflect" if reflect else "constant")


def dropout(
    x: jax.Array, keys: jax.Array | None, layer: int | jax.Array, rate: float = 0.5
) -> jax.Array:
    """Zeroes some of the values, by one key an image so that devices do not matter.

    Args:
      x: [B, H, W, C].
      keys: [B] PRNG keys, or None for no dropout.
      layer: number folded into the keys, different for each layer of a network.
      rate: share of the values that are dropped; the others grow accordingly.
    """
    if keys is None:
        return x
    kept = 1.0 - rate

    def mask(key):
        return jax.random.bernoulli(jax.random.fold_in(key, layer), kept, x.shape[1:])

    return jnp.where(jax.vmap(mask)(keys), x / kept, jnp.zeros_like(x))
