"""Which network a table of PyTorch tensors belongs to, from names and shapes alone."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from cyclegan_jax.core import networks
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import names as torch_names

_PREFIXES = r"(?:module\.|_orig_mod\.)+"  # Of DataParallel and of torch.compile.
_WIDEST = 2**16  # Channels.
_MOST_LAYERS = 64  # Blocks or levels; published networks have 9 at most.


@dataclasses.dataclass(frozen=True)
class Recognised:
    """A network and its weights.

    Attributes:
      kind: "generator" or "discriminator".
      settings: as in a config's section of that name: name, width, norm, ...
      channels_in: channels of its input.
      channels_out: channels of its output.
      module: the network.
      variables: its parameters and, with batch norm, running statistics.
    """

    kind: str
    settings: dict[str, Any]
    channels_in: int
    channels_out: int
    module: nn.Module
    variables: dict[str, Any]


def recognise(state_dict: Mapping[str, np.ndarray], source: str) -> Recognised:
    """Finds the network of a `state_dict` of the authors' code and its users.

    Args:
      state_dict: tensors by PyTorch's names; `module.` and `_orig_mod.` in front, and
        the running statistics that old instance norms saved, are dropped.
      source: the file's name, for messages.

    Raises:
      UserError: it is not a network that we know; says which tensor does not fit.
    """
    tensors = {re.sub(f"^{_PREFIXES}", "", k): v for k, v in state_dict.items()}
    if len(tensors) < len(state_dict):
        raise UserError(f"{source} has tensors with and without the prefix module.")
    for name, value in tensors.items():
        if value.dtype.kind in "bi" and not name.endswith("num_batches_tracked"):
            raise UserError(f"{source}: {name[:80]!r} holds {value.dtype}, no weights.")
    finders = (
        ("model.10.conv_block.1.weight", _resnet),
        ("model.model.0.weight", _unet),
        ("net.0.weight", _pixel),
        ("model.0.weight", _patch),
    )
    find = next((found for name, found in finders if name in tensors), None)
    if find is None:
        raise UserError(
            f"{source} is none of the networks known here (ResNet, U-Net, PatchGAN and"
            f" pixel discriminator): its first tensor is {next(iter(tensors))[:80]!r}."
        )
    try:
        settings, channels_in, channels_out = find(tensors)
    except (KeyError, IndexError) as error:
        raise UserError(
            f"{source} looks like a {find.__name__.strip('_')} network, but its tensor"
            f" {error.args[0]!r} is missing or of another kind."
        ) from None
    if settings["norm"] == "instance":
        tensors = {k: v for k, v in tensors.items() if not _is_statistic(k)}
    build, kind = networks.discriminator, "discriminator"
    extra = {}
    if find in (_resnet, _unet):
        build, kind, extra = networks.generator, "generator", {"channels": channels_out}
    module = build(**settings, **extra)
    _check(module, channels_in, tensors, source)
    variables = torch_names.from_torch(module, tensors)
    return Recognised(kind, settings, channels_in, channels_out, module, variables)


def _is_statistic(name):
    return name.rpartition(".")[2] in (
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )


def _norm(tensors, layer, convolution):
    """Tells the norm from what it saves, and from the bias of what is before it."""
    if f"{layer}.weight" in tensors and tensors[f"{layer}.weight"].ndim == 1:
        batch = f"{layer}.running_mean" in tensors
        return "batch" if batch else "instance_affine"
    return "instance" if f"{convolution}.bias" in tensors else "none"


def _size(tensors, name, axis):
    """The number of channels that a convolution's weight says, if it is one."""
    if tensors[name].ndim != 4 or not 0 < tensors[name].shape[axis] <= _WIDEST:
        raise KeyError(name)
    return tensors[name].shape[axis]


def _count(tensors, pattern):
    """One more than the largest number in names that match; such numbers are few."""
    found = {int(m[1]) for name in tensors if (m := re.match(pattern, name))}
    return min(max(found) + 1, _MOST_LAYERS)


def _resnet(tensors):
    blocks = _count(tensors, r"model\.(\d{1,3})\.conv_block\.1\.weight$") - 10
    settings = {
        "name": f"resnet_{blocks}blocks",
        "width": _size(tensors, "model.1.weight", 0),
        "norm": _norm(tensors, "model.2", "model.1"),
        "dropout": "model.10.conv_block.6.weight" in tensors
        and tensors["model.10.conv_block.6.weight"].ndim == 4,
    }
    last = f"model.{10 + blocks + 7}.weight"
    return settings, _size(tensors, "model.1.weight", 1), _size(tensors, last, 0)


def _unet(tensors):
    downs = max(name.count(".model.") for name in tensors)
    inner = "model.model.1.model"
    if not 3 <= downs <= 12:
        raise KeyError(f"{inner}.2.weight")
    settings = {
        "name": f"unet_{2**downs}",
        "width": _size(tensors, "model.model.0.weight", 0),
        "norm": _norm(tensors, f"{inner}.2", f"{inner}.1"),
    }
    channels_in = _size(tensors, "model.model.0.weight", 1)
    return settings, channels_in, _size(tensors, "model.model.3.weight", 1)


def _patch(tensors):
    last = _count(tensors, r"model\.(\d{1,3})\.weight$") - 1
    if last not in range(5, 21, 3):
        raise KeyError("model.5.weight")
    settings = {
        "name": "n_layers",
        "n_layers": (last - 2) // 3,
        "width": _size(tensors, "model.0.weight", 0),
        "norm": _norm(tensors, "model.3", "model.2"),
    }
    return settings, _size(tensors, "model.0.weight", 1), 1


def _pixel(tensors):
    settings = {
        "name": "pixel",
        "width": _size(tensors, "net.0.weight", 0),
        "norm": _norm(tensors, "net.3", "net.2"),
    }
    return settings, _size(tensors, "net.0.weight", 1), 1


def _check(module, channels_in, tensors, source):
    """Compares names and shapes with the network's, all of them.

    Raises:
      UserError: names the first tensor that does not fit.
    """
    side = max(getattr(module, "size_multiple", 1), getattr(module, "smallest_size", 1))
    blank = jax.ShapeDtypeStruct((1, side, side, channels_in), np.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), blank)
    expected = torch_names.torch_shapes(module, variables)
    name = type(module).__name__
    for key, shape in expected.items():
        if key not in tensors:
            if key.endswith("num_batches_tracked"):  # Not in files before 2018.
                continue
            raise UserError(f"{source} lacks the tensor {key!r} of a {name}.")
        if tensors[key].shape != shape:
            raise UserError(
                f"{source} looks like a {name}, but its tensor {key!r} is"
                f" {list(tensors[key].shape)}, not {list(shape)}."
            )
    if unknown := sorted(set(tensors) - set(expected)):
        raise UserError(
            f"{source} looks like a {name}, but has a tensor {unknown[0][:80]!r} too."
        )
