"""The names of layers in the authors' PyTorch code, beside the paths of ours.

Their `state_dict`s number the layers of nested `Sequential`s; ours name them.
"""

import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResNetGenerator,
    UNetGenerator,
)
from cyclegan_jax.core.networks.projection import PatchProjection
from cyclegan_jax.errors import UserError

Path = tuple[str, ...]
# What stands for layers of CUT's code without parameters -> what they save as `filt`.
_DOWN, _UP = ("downsample",), ("upsample",)
BLURS = {
    _DOWN: np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16,
    _UP: np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 16,
}
# Settings that are constants in the authors' code.
_PUBLISHED = {
    "reflect": True,
    "outer_kernel": 7,
    "down_kernel": 3,
    "stem_kernel": 0,
    "score_kernel": 4,
    "spectral_norm": False,
    "queue_size": 0,
}


def layer_names(module: nn.Module) -> dict[str, Path]:
    """Maps the names of PyTorch's layers to the paths of ours.

    Args:
      module: one of our networks.

    Returns:
      Such as {"model.10.conv_block.1": ("block_0", "conv_0")}, in PyTorch's order.

    Raises:
      UserError: PyTorch's code has no such network.
    """
    others = [k for k, v in _PUBLISHED.items() if getattr(module, k, v) != v]
    if others:
        raise UserError(
            "the authors' PyTorch code has no network with"
            f" {' and '.join(f'{k}={getattr(module, k)}' for k in others)}, only with"
            f" {' and '.join(f'{k}={_PUBLISHED[k]}' for k in others)}."
        )
    return layers(module)


def layers(module: nn.Module) -> dict[str, Path]:
    """As `layer_names`, whether or not the authors' code has such sizes of kernels."""
    return {
        name: path for name, path in with_blurs(module).items() if path not in BLURS
    }


def with_blurs(module: nn.Module) -> dict[str, Path]:
    """As `layers`, with the blurs, whose paths are the keys of `BLURS`."""
    if isinstance(module, ResNetGenerator):
        return _resnet(module)
    if isinstance(module, UNetGenerator):
        return _unet(module)
    if isinstance(module, PatchDiscriminator):
        return _patch(module)
    if isinstance(module, PixelDiscriminator):
        ours = ("conv_0", "conv_1", "norm_1", "conv_out")
        return {f"net.{n}": (name,) for n, name in zip((0, 2, 3, 5), ours, strict=True)}
    if isinstance(module, PatchProjection):
        parts = [(i, j) for i in range(module.heads) for j in range(2)]
        return {f"mlp_{i}.{2 * j}": (f"mlp_{i}_{j}",) for i, j in parts}
    raise TypeError(f"{type(module).__name__} has no counterpart in PyTorch")


def _resnet(module):
    # 0, 3, 6, ...: the paddings and activations between the layers have no parameters.
    names = {"model.1": ("conv_in",), "model.2": ("norm_in",)}
    number = 4
    for i in range(2):
        names[f"model.{number}"] = (f"down_{i}",)
        names[f"model.{number + 1}"] = (f"down_norm_{i}",)
        if module.antialias:
            names[f"model.{number + 3}"] = _DOWN
        number += 4 if module.antialias else 3
    second = 6 if module.dropout else 5  # Dropout stands between the convolutions.
    for i in range(module.blocks):
        block, ours = f"model.{number + i}.conv_block", f"block_{i}"
        names |= {
            f"{block}.1": (ours, "conv_0"),
            f"{block}.2": (ours, "norm_0"),
            f"{block}.{second}": (ours, "conv_1"),
            f"{block}.{second + 1}": (ours, "norm_1"),
        }
    number += module.blocks
    for i in range(2):
        if module.antialias_up:
            names[f"model.{number}"] = _UP
            number += 1
        names[f"model.{number}"] = (f"up_{i}",)
        names[f"model.{number + 1}"] = (f"up_norm_{i}",)
        number += 3
    return names | {f"model.{number + 1}": ("conv_out",)}


def _patch(module):
    names, number = {}, 0
    for i in range(module.n_layers + 1):
        names[f"model.{number}"] = (f"conv_{i}",)
        if i:
            names[f"model.{number + 1}"] = (f"norm_{i}",)
        number += 3 if i else 2
        if module.antialias and i < module.n_layers:
            names[f"model.{number}"] = _DOWN
            number += 1
    return names | {f"model.{number}": ("conv_out",)}


def _unet(module):
    """Each level holds the next one, between its own way down and its way up."""

    def level(i, prefix):
        if i == module.downs - 1:
            ours = {1: f"down_{i}", 3: f"up_{i}", 4: f"up_norm_{i}"}
            return {f"{prefix}{n}": (name,) for n, name in ours.items()}
        if i == 0:
            down, inner, up = {0: "down_0"}, 1, {3: "up_0"}
        else:
            down, inner = {1: f"down_{i}", 2: f"down_norm_{i}"}, 3
            up = {5: f"up_{i}", 6: f"up_norm_{i}"}
        names = {f"{prefix}{n}": (name,) for n, name in down.items()}
        names |= level(i + 1, f"{prefix}{inner}.model.")
        return names | {f"{prefix}{n}": (name,) for n, name in up.items()}

    return level(0, "model.model.")
