"""The names and layouts that parameters have in the authors' PyTorch code.

`numbering` has the names of the layers; this module, the tensors in them. Conv2d
weights are [O, I, kh, kw], ConvTranspose2d weights [I, O, kh, kw] and flipped in space
relative to ours; our kernels are [kh, kw, I, O].
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util

from cyclegan_jax.torch_weights import numbering

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
    names = numbering.layers(module)
    params: dict[tuple[str, ...], np.ndarray] = {}
    stats: dict[tuple[str, ...], np.ndarray] = {}
    for key, tensor in state_dict.items():
        layer, leaf = key.rsplit(".", 1)
        if leaf in ("num_batches_tracked", "filt"):
            continue
        path = names[layer]
        tensor = np.asarray(tensor, np.float32)  # Some save half precision.
        target = stats if leaf.startswith("running_") else params
        if leaf != "weight":
            target[*path, _LEAVES[leaf]] = tensor
        elif tensor.ndim == 1:
            target[*path, "scale"] = tensor
        elif tensor.ndim == 2:
            target[*path, "kernel"] = np.ascontiguousarray(tensor.T)
        elif _is_transposed(module, path):
            flipped = tensor[:, :, ::-1, ::-1]
            target[*path, "kernel"] = np.ascontiguousarray(
                flipped.transpose(2, 3, 0, 1)
            )
        else:
            target[*path, "kernel"] = np.ascontiguousarray(tensor.transpose(2, 3, 1, 0))
    unflatten = traverse_util.unflatten_dict
    return {"params": unflatten(params), "batch_stats": unflatten(stats)}


def _is_transposed(module, path):
    """Whether a layer is a transposed convolution."""
    rises = path[-1].startswith("up_") and "norm" not in path[-1]
    return rises and not getattr(module, "antialias_up", False)


def to_torch(module: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Converts our variables to PyTorch's tensors, in the order of its `state_dict`.

    Args:
      module: the network they belong to.
      variables: {"params": ...} and, with batch norm, "batch_stats".
    """
    numbering.layer_names(module)  # Raises if the authors' code has no such network.
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
    blurs: list[tuple[str, np.ndarray]] = []  # As wide as what the next layer takes.
    for layer, path in numbering.with_blurs(module).items():
        if path in numbering.BLURS:
            blurs.append((f"{layer}.filt", numbering.BLURS[path]))
            tensors[blurs[-1][0]] = numbering.BLURS[path]
        elif (*path, "kernel") in params:
            kernel = np.asarray(params[*path, "kernel"])
            while blurs:
                name, blur = blurs.pop()
                tensors[name] = np.broadcast_to(blur, (kernel.shape[2], 1, *blur.shape))
            if kernel.ndim == 2:
                weight = kernel.T
            elif _is_transposed(module, path):
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
