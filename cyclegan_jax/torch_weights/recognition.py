"""Which network a table of PyTorch tensors is, by their order and shapes."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from cyclegan_jax.core import networks
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import architectures, layers, norms, numbering
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.layers import NoNetwork


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
      guesses: what the weights do not show, and how it was taken.
    """

    kind: str
    settings: dict[str, Any]
    channels_in: int
    channels_out: int
    module: nn.Module
    variables: dict[str, Any]
    guesses: tuple[str, ...] = ()


def recognise(
    tensors: Mapping[str, np.ndarray], source: str, norm: str = ""
) -> Recognised:
    """Finds the network that tensors make up, whatever their names are.

    Args:
      tensors: by name, in the order of the network's layers.
      source: the file's name, for messages.
      norm: which norm it has, where the tensors allow for two.

    Raises:
      UserError: it is not a network that we know; says what does not fit. Or they
        allow for two; says with which flag to decide.
    """
    try:
        return _recognise(tensors, source, norm)
    except NoNetwork as error:
        raise UserError(f"{source} is not one of our networks: {error}.") from error


def _recognise(tensors, source, norm):
    first = None
    tensors, blurs = layers.without_blurs(tensors, numbering.BLURS.values())
    for order in layers.orders(tensors):
        try:
            convolutions = layers.convolutions(tensors, order)
            found = architectures.find(convolutions, blurs)
            return _build(found, convolutions, source, norm)
        except NoNetwork as error:
            first = first or error
    raise first


def _build(found, convolutions, source, wanted):
    """Makes the network, with the file's tensors under the published names."""
    settings = dict(found.settings)
    published = _has_published_names(found, convolutions)
    settings["norm"], guesses = norms.choose(
        found, convolutions, source, published=published, wanted=wanted
    )
    if settings["name"].startswith("resnet"):
        settings["dropout"], more = _dropout_and_padding(convolutions)
        guesses += more
        if settings.get("antialias") and not found.blurs:
            guesses.append("blurred down-sampling (config.generator.antialias)")
    elif found.kind == "generator":
        guesses.append("dropout as in the config (it leaves no trace)")
    elif not published:
        guesses.append("strides, as published")
    module = _module(found, settings)
    named = norms.rename(found, convolutions, module, settings["norm"])
    variables = torch_names.from_torch(module, named)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables)):
        guesses.append("that its non-finite numbers are intended")
    return Recognised(
        *(found.kind, settings, found.channels_in, found.channels_out),
        *(module, variables, tuple(guesses)),
    )


def _module(found, settings):
    if found.kind == "generator":
        return networks.generator(**settings, channels=found.channels_out)
    return networks.discriminator(**settings)


def _has_published_names(found, convolutions):
    """Whether all layers are named as in the authors' code, but for a prefix."""
    ours, several = [conv.name for conv in convolutions], [found.settings]
    if found.settings["name"].startswith("resnet"):  # Dropout moves some of them.
        several.append(found.settings | {"dropout": True})
    for settings in several:
        paths = numbering.layers(_module(found, settings)).items()
        theirs = [name for name, path in paths if "norm" not in path[-1]]
        more, less = ours[0].removesuffix(theirs[0]), theirs[0].removesuffix(ours[0])
        if ours == [more + name for name in theirs]:
            return True
        if theirs == [less + name for name in ours]:
            return True
    return False


# Where the two convolutions of a block stand in it -> dropout between them, and whether
# the padding is a layer of its own (mirrored, in all published code).
_PLACES = {(1, 5): (False, True), (1, 6): (True, True)}
_PLACES |= {(0, 3): (False, False), (0, 4): (True, False)}


def _dropout_and_padding(convolutions):
    """What numbers in the names of residual blocks show, and what is guessed."""
    blocks, seen = convolutions[3:-3], set()
    for pair in zip(blocks[::2], blocks[1::2], strict=True):
        parts = [re.fullmatch(r"(.*?)(\d{1,3})", conv.name) for conv in pair]
        same = all(parts) and parts[0][1] == parts[1][1]
        seen.add(tuple(int(part[2]) for part in parts) if same else None)
    place = seen.pop() if len(seen) == 1 else None
    dropout, padded = _PLACES.get(place, (None, False))
    guesses = []
    if dropout is None:
        guesses.append("no dropout (config.generator.dropout)")
    if not padded:
        guesses.append("mirrored padding (config.generator.reflect)")
    return bool(dropout), guesses
