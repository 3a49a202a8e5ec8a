"""Discriminators of patches or pixels (Isola et al. 2017, section 3.2.2)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.feature_queue import FeatureQueue
from cyclegan_jax.core.networks import antialiasing, layers, norms
from cyclegan_jax.core.networks.batch_head import BatchHead
from cyclegan_jax.core.networks.discriminator import (
    Discriminator,
    spectrally_normalised,
)


class PatchDiscriminator(Discriminator):
    """Scores overlapping patches of an image.

    Attributes:
      n_layers: strided convolutions, 1 to 6; 3, as published, for patches of 70x70.
      width: channels after the first convolution; doubles up to 8 times that.
      stem_kernel: odd size of one more convolution at the start, to `width` channels
        with mirrored padding and no activation; 0 for none, as published.
      score_kernel: size of the last convolution: 4 as published, or 1, which leaves out
        the convolution with stride 1 before it: 32x32 scores for 256x256.
      antialias: a blur takes every second pixel, not the convolutions.
      norm: see `norms.NORMS`.
      spectral_norm: whether kernels are divided by their largest singular value: all
        but those of a `BatchHead`, as published.
      queue_size: features in each queue of a `BatchHead`, which takes the place of the
        last convolution; 0 for none.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the scores are float32.
      axis_name: see `norms.BatchNorm`.
    """

    n_layers: int = 3
    width: int = 64
    stem_kernel: int = 0
    score_kernel: int = 4
    antialias: bool = False
    norm: str = "instance"
    spectral_norm: bool = False
    queue_size: int = 0
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def smallest_size(self) -> int:
        """The smallest height and width that give a score."""
        if self.score_kernel == 1:
            return max(2 ** (self.n_layers + 1), self.stem_kernel)
        return 2 ** (self.n_layers + 1) + 2**self.n_layers

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        queue: FeatureQueue | None = None,
    ) -> jax.Array:
        """Scores a batch.

        What a queue takes of it is sown as `features` among the `intermediates`.

        Args:
          images: [B, H, W, C] in [-1, 1].
          train: see `norms.BatchNorm` and `spectrally_normalised`; without either it
            changes nothing.
          queue: what a `BatchHead` compares the images with; None for an empty one.

        Returns:
          [B, H', W', 1] scores without a sigmoid, float32: 30x30 for 256x256.
        """
        conv: Callable[..., Any] = functools.partial(
            layers.Conv,
            padding=1,
            init_type=self.init_type,
            init_gain=self.init_gain,
            dtype=self.dtype,
        )
        if self.spectral_norm:
            conv = spectrally_normalised(conv, update=train)
        x, doublings = images, 0
        if self.stem_kernel:
            options = {"padding": self.stem_kernel // 2, "reflect": True}
            x = conv(self.width, self.stem_kernel, name="stem", **options)(x)
            doublings = 1
        patches = self.score_kernel == 4
        for i in range(self.n_layers + patches):
            features = self.width * min(2 ** (i + doublings), 8)
            down = i < self.n_layers
            stride = 2 if down and not self.antialias else 1
            bias = norms.bias_before(self.norm) if i else {}
            x = conv(features, 4, stride, **bias, name=f"conv_{i}")(x)
            if i:
                x = norms.normalise(
                    x,
                    self.norm,
                    train=train,
                    axis_name=self.axis_name,
                    init_gain=self.init_gain,
                    name=f"norm_{i}",
                )
            x = nn.leaky_relu(x, 0.2)
            if down and self.antialias:
                x = antialiasing.downsample(x)
        if self.queue_size:
            return self._head(x, queue)
        x = conv(1, self.score_kernel, padding=int(patches), name="conv_out")(x)
        return x.astype(jnp.float32)

    def _head(self, features, queue):
        self.sow("intermediates", "features", features)
        head = BatchHead(self.init_type, self.init_gain, self.dtype, name="head")
        return head(features, queue).astype(jnp.float32)


class PixelDiscriminator(Discriminator):
    """Scores every pixel by itself, with 1x1 convolutions.

    Attributes are those of `PatchDiscriminator`.
    """

    width: int = 64
    norm: str = "instance"
    spectral_norm: bool = False
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def smallest_size(self) -> int:
        """The smallest height and width that give a score."""
        return 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Maps [B, H, W, C] to scores [B, H, W, 1], as `PatchDiscriminator` does."""
        conv: Callable[..., Any] = functools.partial(
            layers.Conv,
            kernel_size=1,
            init_type=self.init_type,
            init_gain=self.init_gain,
            dtype=self.dtype,
        )
        if self.spectral_norm:
            conv = spectrally_normalised(conv, update=train)
        bias = norms.bias_before(self.norm)
        x = nn.leaky_relu(conv(self.width, name="conv_0")(images), 0.2)
        x = conv(2 * self.width, **bias, name="conv_1")(x)
        x = norms.normalise(
            x,
            self.norm,
            train=train,
            axis_name=self.axis_name,
            init_gain=self.init_gain,
            name="norm_1",
        )
        use_bias = bias["use_bias"]
        x = conv(1, use_bias=use_bias, name="conv_out")(nn.leaky_relu(x, 0.2))
        return x.astype(jnp.float32)
