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

from cyclegan_jax.errors import UserError

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_BLOCKS = (2, 2, 3, 2)  # Convolutions between the poolings, up to conv4_2.
# What torchvision's weights expect of images in [0, 1].
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
        mean, std = (jnp.array(v).reshape(1, 1, 1, 3) for v in (_MEAN, _STD))
        x = jnp.broadcast_to(images, (*images.shape[:3], 3))
        shape = (len(x), self.size, self.size, 3)
        x = jax.image.resize(x, shape, "bilinear", antialias=False)
        x = (((x + 1.0) / 2.0 - mean) / std).astype(self.dtype)
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
    state_dict: Mapping[str, np.ndarray], source: str, width: int = 64
) -> dict[str, Any]:
    """Converts torchvision's weights; later layers than ours are left out.

    Args:
      state_dict: tensors by PyTorch's names.
      source: the file's name, for messages.
      width: of the network.

    Returns:
      Parameters for `VGG16`.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """
    params, number, channels = {}, 0, 3
    for block, layers in enumerate(_BLOCKS, 1):
        for layer in range(1, layers + 1):
            features = width * 2 ** (block - 1)
            shapes = {"weight": (features, channels, 3, 3), "bias": (features,)}
            tensors = {}
            for leaf, shape in shapes.items():
                name = f"features.{number}.{leaf}"
                if name not in state_dict or state_dict[name].shape != shape:
                    raise UserError(
                        f"{source} does not hold VGG-16: its tensor {name!r} is"
                        " missing or has another shape."
                    )
                tensors[leaf] = np.asarray(state_dict[name], np.float32)
            kernel = np.ascontiguousarray(tensors["weight"].transpose(2, 3, 1, 0))
            params[f"conv{block}_{layer}"] = {"kernel": kernel, "bias": tensors["bias"]}
            number, channels = number + 2, features  # A ReLU after each convolution,
        number += 1  # and a pooling after each block.
    return params
