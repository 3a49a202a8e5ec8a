"""The ResNet generator (Johnson et al. 2016; Zhu et al. 2017, appendix 7.2)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.networks import antialiasing, layers, norms, residual

# From so many blocks on, as for 256x256 images, XLA:CPU takes long over a program.
_LOOPED = 9


class ResNetGenerator(nn.Module):
    """Translates images: two strided convolutions, residual blocks, and back up.

    Attributes:
      channels: of the output image.
      blocks: residual blocks; 9 for 256x256 images, 6 for 128x128 in the paper.
      width: channels after the first convolution; doubles twice on the way down.
      norm: see `norms.NORMS`.
      dropout: whether the blocks drop half of their values, where keys are given.
      reflect: mirrored (published) or zero padding of the 7x7s and the blocks.
      outer_kernel: size of the first and last convolution.
      down_kernel: size of the strided convolutions on the way down, 3 or 4.
      antialias: on the way down, a blur takes every second pixel, not the convolution.
      antialias_up: on the way up, interpolation and a convolution instead of a
        transposed convolution.
      remat: compute the blocks again in the backward pass instead of storing them.
      init_type: see `layers.kernel_init`.
      init_gain: likewise.
      dtype: of the computation; the output is float32.
      axis_name: see `norms.BatchNorm`.
    """

    channels: int = 3
    blocks: int = 9
    width: int = 64
    norm: str = "instance"
    dropout: bool = False
    reflect: bool = True
    outer_kernel: int = 7
    down_kernel: int = 3
    antialias: bool = False
    antialias_up: bool = False
    remat: bool = False
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def size_multiple(self) -> int:
        """What the height and width of an image must be divisible by."""
        return 4

    @property
    def encoder_layers(self) -> int:
        """How many layers, as `features` counts them, come before the way up."""
        return (12 if self.antialias else 10) + self.blocks

    def prepare(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Adds to variables what makes many applications faster, if anything."""
        params = variables["params"]
        names = [f"block_{i}" for i in range(self.blocks)]
        places = {name: residual.places(params[name], self.dtype) for name in names}
        return variables | {"places": places}

    def _loops(self, train):
        """Whether the blocks are a loop, on CPUs: in training, if there are many.

        A step is compiled in half of the time, and loaded in a fifth. But it takes a
        tenth longer: the passes of generators no longer fill each other's idle moments.
        """
        # Running statistics would be part of the loop.
        possible = self.norm != "batch" and not self.is_initializing()
        return possible and train and self.blocks >= _LOOPED

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        dropout_keys: jax.Array | None = None,
        features: tuple[int, ...] = (),
    ) -> Any:
        """Translates a batch.

        Args:
          images: [B, H, W, C] in [-1, 1], H and W multiples of `size_multiple`.
          train: see `norms.BatchNorm`; without batch norm it changes nothing.
          dropout_keys: [B] PRNG keys; None turns dropout off.
          features: rising numbers, below `encoder_layers`, of layers whose outputs are
            returned instead of a translation; nothing after the last is computed.
            Numbered from 0, the padding, as in the authors' code: convolutions, norms,
            activations, blurs and blocks are a layer each.

        Returns:
          [B, H, W, channels] in [-1, 1], float32; or [B, H', W', C'] of each of the
          `features`, in `dtype` but for the padded images.
        """
        if not self.dropout:
            dropout_keys = None
        down, up = self._layers(train, dropout_keys, seen=bool(features))
        if features:
            padded = layers.pad(images, self.outer_kernel // 2, reflect=self.reflect)
            return _outputs(down, images, padded, features)
        x = images
        for layer in (*down, *up):
            x = layer(x)
        return jnp.tanh(x.astype(jnp.float32))

    def _layers(self, train, dropout_keys, *, seen):
        """The layers before the way up, and the others; are their outputs `seen`?"""
        gain = {"init_gain": self.init_gain}
        settings: Any = {"init_type": self.init_type, "dtype": self.dtype, **gain}
        bias = norms.bias_before(self.norm)
        if seen:  # Before the norm.
            bias["dead_bias"] = False
        conv: Any = functools.partial(layers.Conv, **bias, **settings)
        transposed: Any = functools.partial(layers.ConvTranspose, **bias, **settings)
        outer: dict[str, Any] = {
            "kernel_size": self.outer_kernel,
            "padding": self.outer_kernel // 2,
            "reflect": self.reflect,
        }
        statistics: Any = {"train": train, "axis_name": self.axis_name, **gain}

        def activated(layer: Callable, name: str) -> list[Callable]:
            norm = functools.partial(norms.normalise, kind=self.norm, **statistics)
            return [layer, functools.partial(norm, name=name), nn.relu]

        down = activated(conv(self.width, **outer, name="conv_in"), "norm_in")
        for i in range(2):  # [B, H, W, C] -> [B, H/4, W/4, 4C]
            wider, stride = self.width * 2 ** (i + 1), 1 if self.antialias else 2
            fall = conv(wider, self.down_kernel, stride, padding=1, name=f"down_{i}")
            down += activated(fall, f"down_norm_{i}")
            down += [antialiasing.downsample] if self.antialias else []
        make: Any = nn.remat(residual.Block) if self.remat else residual.Block
        make = functools.partial(
            make, norm=self.norm, reflect=self.reflect, conv=conv, **statistics
        )
        if self._loops(train) and not seen:
            block, params = make(parent=None), self.variables["params"]
            every = [params[f"block_{i}"] for i in range(self.blocks)]
            down.append(lambda x: residual.in_turn(block, every, x, dropout_keys))
        else:
            keys = {"dropout_keys": dropout_keys}
            for i in range(self.blocks):
                block = make(name=f"block_{i}")
                down.append(functools.partial(block, **keys, index=i))
        up: list[Callable] = []
        for i in range(2):  # [B, H/4, W/4, 4C] -> [B, H, W, C]
            narrower = self.width * 2 ** (1 - i)
            if self.antialias_up:
                up.append(antialiasing.upsample)
                rise = conv(narrower, 3, padding=1, name=f"up_{i}")
            else:
                rise = transposed(narrower, 3, name=f"up_{i}")
            up += activated(rise, f"up_norm_{i}")
        up.append(layers.Conv(self.channels, **outer, **settings, name="conv_out"))
        return down, up


def _outputs(sequence, images, padded, features):
    """The outputs of the numbered layers, of which 0 is the padding."""
    outputs, x = [padded], images
    for layer in sequence[: features[-1]]:
        x = layer(x)
        outputs.append(x)
    return tuple(outputs[number] for number in features)
