"""CoGAN's coupled networks (Liu & Tuzel 2016), with the shapes of the released code.

The sizes are those of its network for 128x128 faces, the coupling is that of its
networks for digits: generators share all but their last layer, discriminators all but
their first.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.networks import layers, norms
from cyclegan_jax.core.networks.discriminator import Discriminator

_STRIDED = (5, 5, 5, 3, 3, 3)  # Kernels of the discriminator.
_DROPOUT = (0.0, 0.1, 0.3, 0.3, 0.5, 0.0)  # Dropout rate after each of them.


class CoupledGenerator(nn.Module):
    """Generates an image of A and one of B, of one scene, from one latent vector.

    Attributes:
      size: height and width of the images, a power of two from 8 on; 128 as published.
      channels_a: of the image of A.
      channels_b: of the image of B.
      width: channels before the last layer, 32 as published; the first has
        `width * size / 4`.
      norm: see `norms.NORMS`.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the images are float32.
      axis_name: see `norms.BatchNorm`.
    """

    size: int = 128
    channels_a: int = 3
    channels_b: int = 3
    width: int = 32
    norm: str = "batch"
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def size_multiple(self) -> int:
        """The height and width of its images: what sides must be divisible by."""
        return self.size

    @nn.compact
    def __call__(
        self, latent: jax.Array, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Maps [B, Z] to images of A and B, each [B, size, size, channels]."""
        settings = {
            "init_type": self.init_type,
            "init_gain": self.init_gain,
            "dtype": self.dtype,
        }

        def activate(x, name):
            x = norms.normalise(
                x,
                self.norm,
                train=train,
                axis_name=self.axis_name,
                init_gain=self.init_gain,
                name=f"{name}_norm",
            )
            return nn.PReLU(negative_slope_init=0.25, name=f"{name}_prelu")(x)

        bias = self.norm == "none"  # A norm has a bias itself.
        doublings = self.size.bit_length() - 3  # From 4 pixels to `size`.
        features = self.width * 2**doublings
        init = layers.kernel_init(self.init_type, self.init_gain)
        dense = {"kernel_init": init, "dtype": self.dtype, "use_bias": bias}
        full = nn.Dense(16 * features, **dense, name="full")
        x = activate(full(latent).reshape(-1, 4, 4, features), "full")
        for i in range(doublings):  # [B, H, W, C] -> [B, 2H, 2W, C/2]
            features //= 2
            up = layers.ConvTranspose(
                features, 4, use_bias=bias, **settings, name=f"up_{i}"
            )
            x = activate(up(x), f"up_{i}")

        def draw(domain, channels):
            conv = layers.Conv(channels, 3, padding=1, **settings, name=f"out_{domain}")
            return jnp.tanh(conv(x).astype(jnp.float32))

        return draw("a", self.channels_a), draw("b", self.channels_b)


class CoupledDiscriminator(Discriminator):
    """Scores whole images of both domains.

    Attributes:
      width: channels of the first layer, 32 as published; doubles five times.
      norm: see `norms.NORMS`.
      dropout: whether values are dropped in training, as published.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the scores are float32.
      axis_name: see `norms.BatchNorm`.
    """

    width: int = 32
    norm: str = "batch"
    dropout: bool = True
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: tuple[jax.Array, jax.Array],
        *,
        train: bool = False,
        dropout_keys: jax.Array | None = None,
    ) -> jax.Array:
        """Scores a batch of both domains.

        Args:
          images: of A and of B, each [B, H, W, C] in [-1, 1].
          train: see `norms.BatchNorm`.
          dropout_keys: [B] PRNG keys; None turns dropout off.

        Returns:
          [2B] scores, A's first, float32: the logarithm of the odds that the two-way
          softmax of the published network gives to "real".
        """
        settings = {
            "init_type": self.init_type,
            "init_gain": self.init_gain,
            "dtype": self.dtype,
        }
        keys = None
        if self.dropout and dropout_keys is not None:
            # The two domains of a slot need different masks.
            fold = jax.vmap(jax.random.fold_in, (0, None))
            keys = jnp.concatenate([fold(dropout_keys, n) for n in range(2)])

        def activate(x, number, rate):
            x = norms.normalise(
                x,
                self.norm,
                train=train,
                axis_name=self.axis_name,
                init_gain=self.init_gain,
                name=f"norm_{number}",
            )
            x = nn.PReLU(negative_slope_init=0.25, name=f"prelu_{number}")(x)
            return layers.dropout(x, keys, number, rate) if rate else x

        bias = self.norm == "none"  # A norm has a bias itself.

        def conv(x, number, name):
            kernel = _STRIDED[number]
            options = {"stride": 2, "padding": kernel // 2, "use_bias": bias}
            features = self.width * 2**number
            return layers.Conv(features, kernel, **options, **settings, name=name)(x)

        first = [conv(x, 0, f"conv_0_{d}") for d, x in zip("ab", images, strict=True)]
        x = activate(jnp.concatenate(first), 0, _DROPOUT[0])
        for i in range(1, len(_STRIDED)):
            x = activate(conv(x, i, f"conv_{i}"), i, _DROPOUT[i])
        init = layers.kernel_init(self.init_type, self.init_gain)
        dense = {"kernel_init": init, "dtype": self.dtype}
        x = x.reshape(len(x), 1, 1, -1)
        x = nn.Dense(64 * self.width, **dense, use_bias=bias, name="full")(x)
        x = activate(x, len(_STRIDED), 0.5)
        logits = nn.Dense(2, **dense, name="out")(x).astype(jnp.float32)
        return (logits[..., 1] - logits[..., 0]).reshape(-1)
