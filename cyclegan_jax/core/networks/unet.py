"""The U-Net generator (Ronneberger et al. 2015; Isola et al. 2017)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.networks import layers, norms


class UNetGenerator(nn.Module):
    """Translates images down to the size of a few pixels and up again, with skips.

    Attributes:
      channels: of the output image.
      downs: halvings of the image; 8 is the reference's `unet_256`, 7 its `unet_128`.
      width: channels after the first convolution; doubles up to 8 times that.
      norm: see `norms.NORMS`.
      dropout: whether the `downs - 5` inner decoder stages of full width drop half of
        their values, where keys are given.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the output is float32.
      axis_name: see `norms.BatchNorm`.
    """

    channels: int = 3
    downs: int = 8
    width: int = 64
    norm: str = "batch"
    dropout: bool = False
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def size_multiple(self) -> int:
        """What the height and width of an image must be divisible by."""
        return 2**self.downs

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        dropout_keys: jax.Array | None = None,
    ) -> jax.Array:
        """Translates a batch; arguments and result as in `ResNetGenerator`."""
        settings = {
            "init_type": self.init_type,
            "init_gain": self.init_gain,
            "dtype": self.dtype,
        }
        bias = norms.bias_before(self.norm)
        live = {**bias, "dead_bias": False}  # Where no norm follows.
        conv: Callable[..., layers.Conv] = functools.partial(
            layers.Conv, kernel_size=4, stride=2, padding=1, **settings
        )
        up: Callable[..., layers.ConvTranspose] = functools.partial(
            layers.ConvTranspose, kernel_size=4, **settings
        )
        norm = functools.partial(
            norms.normalise,
            kind=self.norm,
            train=train,
            axis_name=self.axis_name,
            init_gain=self.init_gain,
        )
        features = [self.width * min(2**i, 8) for i in range(self.downs)]
        innermost = self.downs - 1

        # skips[i]: [B, H/2^i, W/2^i, features[i - 1]], what decoder stage i - 1 adds.
        x = conv(features[0], **live, name="down_0")(images)
        skips = [x]
        for i in range(1, self.downs):
            options = bias if i < innermost else live
            x = conv(features[i], **options, name=f"down_{i}")(nn.leaky_relu(x, 0.2))
            if i < innermost:
                x = norm(x, name=f"down_norm_{i}")
                skips.append(x)
        for i in range(innermost, 0, -1):
            x = up(features[i - 1], **bias, name=f"up_{i}")(nn.relu(x))
            x = norm(x, name=f"up_norm_{i}")
            if self.dropout and 5 <= i + 1 < self.downs:
                x = layers.dropout(x, dropout_keys, i)
            x = jnp.concatenate([skips[i - 1], x], axis=-1)
        x = up(self.channels, name="up_0")(nn.relu(x))
        return jnp.tanh(x.astype(jnp.float32))
