"""The names and layouts that parameters have in the authors' PyTorch code.

Their `state_dict`s number the layers of nested `Sequential`s; ours name them. Conv2d
weights are [O, I, kh, kw], ConvTranspose2d weights [I, O, kh, kw] and flipped in space
relative to ours; our kernels are [kh, kw, I, O].
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util

from cyclegan_jax.core.networks import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResNetGenerator,
    UNetGenerator,
)
from cyclegan_jax.errors import UserError

Path = tuple[str, ...]
# Settings that are constants in the authors' code.
_PUBLISHED = {
    "reflect": True,
    "outer_kernel": 7,
    "down_kernel": 3,
    "stem_kernel": 0,
    "score_kernel": 4,
    "spectral_norm": False,
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
    if not all(getattr(module, k, v) == v for k, v in _PUBLISHED.items()):
        raise UserError(
            "the authors' PyTorch code has no network with other settings than"
            f" {', '.join(f'{k}={v}' for k, v in _PUBLISHED.items())}."
        )
    return layers(module)


def layers(module: nn.Module) -> dict[str, Path]:
    """As `layer_names`, whether or not the authors' code has such sizes of kernels."""
    if isinstance(module, ResNetGenerator):
        return _resnet(module)
    if isinstance(module, UNetGenerator):
        return _unet(module)
    if isinstance(module, PatchDiscriminator):
        names: dict[str, tuple[str, ...]] = {"model.0": ("conv_0",)}
        for i in range(1, module.n_layers + 1):
            names |= {
                f"model.{3 * i - 1}": (f"conv_{i}",),
                f"model.{3 * i}": (f"norm_{i}",),
            }
        return names | {f"model.{3 * module.n_layers + 2}": ("conv_out",)}
    if isinstance(module, PixelDiscriminator):
        ours = ("conv_0", "conv_1", "norm_1", "conv_out")
        return {f"net.{n}": (name,) for n, name in zip((0, 2, 3, 5), ours, strict=True)}
    raise TypeError(f"{type(module).__name__} has no counterpart in PyTorch")


def _resnet(module):
    # 0, 3, 6, ...: the paddings and activations between the layers have no parameters.
    names = {"model.1": ("conv_in",), "model.2": ("norm_in",)}
    for i in range(2):
        names[f"model.{4 + 3 * i}"] = (f"down_{i}",)
        names[f"model.{5 + 3 * i}"] = (f"down_norm_{i}",)
    second = 6 if module.dropout else 5  # Dropout stands between the convolutions.
    for i in range(module.blocks):
        block, ours = f"model.{10 + i}.conv_block", f"block_{i}"
        names |= {
            f"{block}.1": (ours, "conv_0"),
            f"{block}.2": (ours, "norm_0"),
            f"{block}.{second}": (ours, "conv_1"),
            f"{block}.{second + 1}": (ours, "norm_1"),
        }
    after = 10 + module.blocks
    for i in range(2):
        names[f"model.{after + 3 * i}"] = (f"up_{i}",)
        names[f"model.{after + 1 + 3 * i}"] = (f"up_norm_{i}",)
    return names | {f"model.{after + 7}": ("conv_out",)}


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


_LEAVES = {
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
}


def from_torch(
    module: nn.Module, state_dict: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Converts PyTorch's tensors to our variables.

    Args:
      module: the network they belong to.
      state_dict: tensors by their PyTorch names.

    Returns:
      {"params": ..., "batch_stats": ...}; the latter is empty without batch norm.

    Raises:
      KeyError: a tensor belongs to no layer of the network.
    """
    names = layers(module)
    params: dict[tuple[str, ...], np.ndarray] = {}
    stats: dict[tuple[str, ...], np.ndarray] = {}
    for key, tensor in state_dict.items():
        layer, leaf = key.rsplit(".", 1)
        path = names[layer]
        if leaf == "num_batches_tracked":
            continue
        tensor = np.asarray(tensor, np.float32)  # Some save half precision.
        target = stats if leaf.startswith("running_") else params
        if leaf != "weight":
            target[*path, _LEAVES[leaf]] = tensor
        elif tensor.ndim == 1:
            target[*path, "scale"] = tensor
        elif _is_transposed(path):
            flipped = tensor[:, :, ::-1, ::-1]
            target[*path, "kernel"] = np.ascontiguousarray(
                flipped.transpose(2, 3, 0, 1)
            )
        else:
            target[*path, "kernel"] = np.ascontiguousarray(tensor.transpose(2, 3, 1, 0))
    unflatten = traverse_util.unflatten_dict
    return {"params": unflatten(params), "batch_stats": unflatten(stats)}


def _is_transposed(path):
    return path[-1].startswith("up_") and "norm" not in path[-1]


def to_torch(module: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Converts our variables to PyTorch's tensors, in the order of its `state_dict`.

    Args:
      module: the network they belong to.
      variables: {"params": ...} and, with batch norm, "batch_stats".
    """
    layer_names(module)  # Raises if the authors' code has no such network.
    views = _torch_views(module, variables)
    # Not ascontiguousarray, which gives scalars a dimension.
    return {name: np.asarray(view, order="C") for name, view in views.items()}


def torch_shapes(
    module: nn.Module, variables: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the tensors that `to_torch` gives, without making them.

    Args:
      module: the network.
      variables: as for `to_torch`, of arrays or `jax.ShapeDtypeStruct`s.
    """
    blank = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), variables)
    views = _torch_views(module, blank)
    return {name: view.shape for name, view in views.items()}


def shapes_of(module: nn.Module, channels_in: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a network's tensors by PyTorch's names, making none.

    Args:
      module: the network.
      channels_in: channels of its input.
    """
    side = max(getattr(module, "size_multiple", 1), getattr(module, "smallest_size", 1))
    blank = jax.ShapeDtypeStruct((1, side, side, channels_in), np.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), blank)
    return torch_shapes(module, variables)


def _torch_views(module, variables):
    params = traverse_util.flatten_dict(variables["params"])
    stats = traverse_util.flatten_dict(variables.get("batch_stats", {}))
    tensors = {}
    for layer, path in layers(module).items():
        if (*path, "kernel") in params:
            kernel = np.asarray(params[*path, "kernel"])
            if _is_transposed(path):
                weight = kernel.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
            else:
                weight = kernel.transpose(3, 2, 0, 1)
            tensors[f"{layer}.weight"] = weight
        elif (*path, "scale") in params:
            tensors[f"{layer}.weight"] = np.asarray(params[*path, "scale"])
        if (*path, "bias") in params:
            tensors[f"{layer}.bias"] = np.asarray(params[*path, "bias"])
        if (*path, "mean") in stats:
            tensors[f"{layer}.running_mean"] = np.asarray(stats[*path, "mean"])
            tensors[f"{layer}.running_var"] = np.asarray(stats[*path, "var"])
            tensors[f"{layer}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors
