"""VGG-16 of torchvision as a source of features for KID."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import vgg
from cyclegan_jax.metrics.features import Extractor, resize

_SIDE = 224  # Pixels: of the images in its training.


class PooledVGG16(nn.Module):
    """Averages relu4_2 of VGG-16 over space.

    Attributes:
      width: of the first layer; 64, but for tests.
    """

    width: int = 64

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps [B, 224, 224, 3] in [-1, 1] to [B, 8 * width]."""
        network = vgg.VGG16(size=_SIDE, width=self.width, name="vgg")
        return jnp.mean(network(images), axis=(1, 2))


def from_torch(
    tensors: Mapping[str, np.ndarray], source: str, width: int = 64
) -> dict[str, Any]:
    """Converts torchvision's weights; see `vgg.from_torch`."""
    return {"params": {"vgg": vgg.from_torch(tensors, source, width)}}


EXTRACTOR = Extractor(
    name="vgg16",
    title="VGG-16 (relu4_2)",
    module=PooledVGG16(),
    features=512,
    prepare={"vgg16": functools.partial(resize, side=_SIDE)},
    from_torch=from_torch,
    url=vgg.URL,
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
