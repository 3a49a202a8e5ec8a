"""Which norm a network has, and its tensors under the published names.

A norm shows in what it saves: a scale (affine) or none, running statistics or none; and
in whether the convolutions before it have biases. Several norms may save the same.
"""

from collections.abc import Sequence

import numpy as np
from flax import linen as nn

from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights import numbering
from cyclegan_jax.torch_weights.architectures import Architecture
from cyclegan_jax.torch_weights.layers import Convolution, NoNetwork

# (scale, running statistics, biases before it) -> norms that may have saved that, the
# published one first. An instance norm cancels biases before it, so their presence or
# absence proves nothing; before a batch norm, biases only shift its mean.
_READINGS = {
    (True, True, False): ("batch", "instance_affine"),
    (True, True, True): ("batch", "instance_affine"),
    (True, False, True): ("instance_affine",),
    (True, False, False): ("instance_affine",),
    (False, True, True): ("instance", "batch"),
    (False, True, False): ("instance", "batch"),
    (False, False, True): ("instance",),
    (False, False, False): ("none", "instance"),
}
_USES = {
    "batch": "normalises by the running statistics, as PyTorch does after eval()",
    "instance": "normalises each picture by itself",
    "instance_affine": "normalises each picture by itself",
    "none": "has no norm at all",
}


def choose(
    found: Architecture,
    convolutions: Sequence[Convolution],
    source: str,
    *,
    published: bool,
    wanted: str,
) -> tuple[str, list[str]]:
    """Chooses the norm.

    Args:
      found: the network.
      convolutions: its layers.
      source: the file's name, for messages.
      published: whether all layers are named as in the authors' code.
      wanted: the user's choice, or "".

    Returns:
      The norm, and what had to be guessed.

    Raises:
      NoNetwork: some layers have another norm than others.
      UserError: two norms may be meant.
    """
    normed = [c for c, has in zip(convolutions, found.normed, strict=True) if has]
    for conv in convolutions:
        if conv.norm and all(conv is not one for one in normed):
            raise NoNetwork(
                f"it looks like a {found.label}, but has a norm after"
                f" {conv.name[:80]!r} too"
            )
    kinds = {("weight" in conv.norm, "mean" in conv.norm) for conv in normed}
    if len(kinds) > 1:
        raise NoNetwork(f"it looks like a {found.label}, but its norms differ")
    saved = (*kinds.pop(), any(conv.bias is not None for conv in normed))
    readings = _READINGS[saved]
    if wanted in readings:
        return wanted, []
    if len(readings) == 1:
        return readings[0], []
    scale, statistics, biases = saved
    counted = any("count" in conv.norm for conv in normed)
    if scale and not biases:  # As in the authors' code, and in nearly all other.
        return "batch", [
            "batch norm (instance norms with running statistics look the same:"
            " --norm=instance_affine)"
        ]
    if statistics and not scale and not counted:  # PyTorch before 0.4 saved them.
        return "instance", ["that its running statistics were never used"]
    if not statistics and published:
        return "none", []
    what = "norms" if statistics else "no trace of norms, and no biases before them"
    what += " with running statistics" if statistics else ""
    what = f"affine {what}" if scale else what
    choices = ", ".join(f"--norm={name} {_USES[name]}" for name in readings)
    raise UserError(f"{source} has {what}, which two networks may have: {choices}.")


def rename(
    found: Architecture,
    convolutions: Sequence[Convolution],
    module: nn.Module,
    norm: str,
) -> dict[str, np.ndarray]:
    """Returns the tensors of a network under the published names.

    Args:
      found: the network.
      convolutions: its layers.
      module: the network, with that norm.
      norm: what `choose` chose.

    Raises:
      NoNetwork: a tensor has another size than in such a network.
    """
    expected = torch_names.shapes_of(module, found.channels_in)
    named: dict[str, np.ndarray] = {}
    remaining = zip(convolutions, found.normed, strict=True)
    conv, normed = convolutions[0], False
    for layer, path in numbering.layers(module).items():
        if "norm" in path[-1]:
            values = _norm_tensors(conv, norm)
        else:
            conv, normed = next(remaining)
            values = {"weight": conv.weight}
            if f"{layer}.bias" in expected:
                zeros = np.zeros(expected[f"{layer}.bias"], np.float32)
                values["bias"] = zeros if conv.bias is None else conv.bias
            elif conv.bias is not None and not (normed and norm == "batch"):
                values["bias"] = conv.bias  # Unexpected: raises below.
        for leaf, value in values.items():
            shape = expected.get(f"{layer}.{leaf}", "none")
            if value.shape != shape:
                raise NoNetwork(
                    f"it looks like a {found.label}, but {leaf} of or after"
                    f" {conv.name[:80]!r} is {list(value.shape)} where a network with"
                    f" norm {norm!r} has {shape if shape == 'none' else list(shape)}"
                )
            named[f"{layer}.{leaf}"] = value
    return named


def _norm_tensors(conv, norm):
    if norm in ("instance", "none"):
        return {}
    values = {leaf: conv.norm[leaf] for leaf in ("weight", "bias") if leaf in conv.norm}
    if norm == "batch":
        mean, var = conv.norm["mean"], conv.norm["var"]
        if conv.bias is not None:  # The norm takes it out again.
            mean = mean.astype(np.float64) - conv.bias.astype(np.float64)
        values |= {"running_mean": mean, "running_var": var}
        return {"weight": np.ones_like(var), "bias": np.zeros_like(var), **values}
    return values
