"""The Inception network of the Frechet inception distance (Heusel et al. 2017).

Inception v3 (Szegedy et al. 2015) as in TensorFlow's graph of 2015-12-05, up to its
2048 pooled features. It differs from the usual v3 in its pooling: averages exclude
the padding, and the last block uses max pooling. Layers have the names of the public
PyTorch conversion, `pt_inception-2015-12-05`, whose weights `from_torch` reads.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from cyclegan_jax.core.networks import imagenet
from cyclegan_jax.errors import UserError

FEATURES = 2048
_CLASSES = 1008  # Of the classifier, which is not used.
SIZE = 299  # Pixels: height and width of the input.
_EPSILON = 1e-3


class _Conv(nn.Module):
    """A convolution without bias, batch norm with fixed statistics, and a ReLU."""

    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: tuple[int, int] = (0, 0)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [(p, p) for p in self.padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        ones, zeros = nn.initializers.ones_init(), nn.initializers.zeros_init()
        scale = self.param("scale", ones, (self.features,))
        bias = self.param("bias", zeros, (self.features,))
        mean = self.param("mean", zeros, (self.features,))
        var = self.param("var", ones, (self.features,))
        factor = scale * jax.lax.rsqrt(var + _EPSILON)
        shift = bias - mean * factor
        factor, shift = (v.reshape(1, 1, 1, -1) for v in (factor, shift))
        return nn.relu(y * factor + shift)


def _average(x):
    """3x3 average pooling that excludes the padding."""
    return nn.avg_pool(x, (3, 3), padding=((1, 1), (1, 1)), count_include_pad=False)


def _halve(x):
    return nn.max_pool(x, (3, 3), strides=(2, 2))


class Inception(nn.Module):
    """Maps images [B, 299, 299, 3] in [-1, 1] to features [B, 2048]."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Computes the pooled features."""
        x = _Conv(32, (3, 3), 2, name="Conv2d_1a_3x3")(images)
        x = _Conv(32, (3, 3), name="Conv2d_2a_3x3")(x)
        x = _Conv(64, (3, 3), padding=(1, 1), name="Conv2d_2b_3x3")(x)
        x = _Conv(80, (1, 1), name="Conv2d_3b_1x1")(_halve(x))
        x = _halve(_Conv(192, (3, 3), name="Conv2d_4a_3x3")(x))
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = _a(x, f"Mixed_{name}", pooled)
        x = _b(x, "Mixed_6a")
        for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = _c(x, f"Mixed_{name}", inner)
        x = _d(x, "Mixed_7a")
        x = _e(x, "Mixed_7b", _average)
        x = _e(
            x,
            "Mixed_7c",
            functools.partial(
                nn.max_pool, window_shape=(3, 3), padding=((1, 1), (1, 1))
            ),
        )
        return jnp.mean(x, axis=(1, 2))


# The five kinds of blocks, by their letters in the PyTorch code. They are functions
# that name their layers with a dot, so that all layers are siblings.


def _conv(block, name, features, *size, **kwargs):
    """A layer of a block; size is (side,) or (height, width)."""
    kernel = size * 2 if len(size) == 1 else size
    if "stride" not in kwargs:
        kwargs["padding"] = tuple(side // 2 for side in kernel)
    return _Conv(features, kernel, name=f"{block}.{name}", **kwargs)


def _a(x, block, pooled):
    conv = functools.partial(_conv, block)
    one = conv("branch1x1", 64, 1)(x)
    five = conv("branch5x5_2", 64, 5)(conv("branch5x5_1", 48, 1)(x))
    three = conv("branch3x3dbl_2", 96, 3)(conv("branch3x3dbl_1", 64, 1)(x))
    three = conv("branch3x3dbl_3", 96, 3)(three)
    pool = conv("branch_pool", pooled, 1)(_average(x))
    return jnp.concatenate([one, five, three, pool], axis=-1)


def _b(x, block):
    conv = functools.partial(_conv, block)
    three = conv("branch3x3", 384, 3, stride=2)(x)
    double = conv("branch3x3dbl_2", 96, 3)(conv("branch3x3dbl_1", 64, 1)(x))
    double = conv("branch3x3dbl_3", 96, 3, stride=2)(double)
    return jnp.concatenate([three, double, _halve(x)], axis=-1)


def _c(x, block, inner):
    conv = functools.partial(_conv, block)
    one = conv("branch1x1", 192, 1)(x)
    seven = conv("branch7x7_1", inner, 1)(x)
    seven = conv("branch7x7_2", inner, 1, 7)(seven)
    seven = conv("branch7x7_3", 192, 7, 1)(seven)
    double = conv("branch7x7dbl_1", inner, 1)(x)
    double = conv("branch7x7dbl_2", inner, 7, 1)(double)
    double = conv("branch7x7dbl_3", inner, 1, 7)(double)
    double = conv("branch7x7dbl_4", inner, 7, 1)(double)
    double = conv("branch7x7dbl_5", 192, 1, 7)(double)
    pool = conv("branch_pool", 192, 1)(_average(x))
    return jnp.concatenate([one, seven, double, pool], axis=-1)


def _d(x, block):
    conv = functools.partial(_conv, block)
    three = conv("branch3x3_1", 192, 1)(x)
    three = conv("branch3x3_2", 320, 3, stride=2)(three)
    seven = conv("branch7x7x3_1", 192, 1)(x)
    seven = conv("branch7x7x3_2", 192, 1, 7)(seven)
    seven = conv("branch7x7x3_3", 192, 7, 1)(seven)
    seven = conv("branch7x7x3_4", 192, 3, stride=2)(seven)
    return jnp.concatenate([three, seven, _halve(x)], axis=-1)


def _e(x, block, pool):
    conv = functools.partial(_conv, block)
    one = conv("branch1x1", 320, 1)(x)
    three = conv("branch3x3_1", 384, 1)(x)
    wide, high = conv("branch3x3_2a", 384, 1, 3), conv("branch3x3_2b", 384, 3, 1)
    three = [wide(three), high(three)]
    double = conv("branch3x3dbl_2", 384, 3)(conv("branch3x3dbl_1", 448, 1)(x))
    wide, high = conv("branch3x3dbl_3a", 384, 1, 3), conv("branch3x3dbl_3b", 384, 3, 1)
    double = [wide(double), high(double)]
    pooled = conv("branch_pool", 192, 1)(pool(x))
    return jnp.concatenate([one, *three, *double, pooled], axis=-1)


LEAVES = {
    "conv.weight": "kernel",
    "bn.weight": "scale",
    "bn.bias": "bias",
    "bn.running_mean": "mean",
    "bn.running_var": "var",
}


def from_torch(
    module: Inception, state_dict: Mapping[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Converts the public weights, without the classifier.

    Args:
      module: the network.
      state_dict: tensors by PyTorch's names.
      source: the file's name, for messages.

    Returns:
      Parameters for the module.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """
    blank = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), blank)["params"]
    classes = np.shape(state_dict.get("fc.bias", np.zeros(_CLASSES)))
    if classes != (_CLASSES,):
        raise UserError(
            f"{source} is a classifier of {classes[0]} classes, such as torchvision's,"
            f" with the same layers as the FID network of 2015, which has {_CLASSES}."
        )
    params = {}
    for (layer, leaf), expected in traverse_util.flatten_dict(shapes).items():
        theirs = next(name for name, ours in LEAVES.items() if ours == leaf)
        shape = expected.shape
        if leaf == "kernel":
            shape = tuple(shape[axis] for axis in (3, 2, 0, 1))
        params[layer, leaf] = imagenet.take(
            state_dict,
            f"{layer}.{theirs}",
            shape,
            network="the FID network",
            source=source,
        )
    return traverse_util.unflatten_dict(params)
