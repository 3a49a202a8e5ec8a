"""The interface of a training method, and what follows from it.

A method is a frozen dataclass; `cyclegan.py` is the one to read first. The names of its
generators begin with "g" (these may have moving averages), those of its discriminators
with "d".
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
from flax import linen as nn

from cyclegan_jax.core.methods.phases import Phase
from cyclegan_jax.core.networks.published import Published

Variables = dict[str, dict[str, Any]]


class Translation(NamedTuple):
    """One direction of translation, in evaluation mode.

    Attributes:
      networks: names of the networks that it needs.
      apply: (variables by network name, images [B, H, W, C] in [-1, 1], key) -> images;
        compiled. Where it draws random numbers, all images get the same ones, so that
        a translation depends on the picture alone.
      generator: the network, if the translation is one plain application of it.
    """

    networks: tuple[str, ...]
    apply: Callable[[Variables, jax.Array, jax.Array], jax.Array]
    generator: nn.Module | None = None

    @classmethod
    def by(cls, name: str, module: nn.Module) -> "Translation":
        """The plain application of a generator, with running statistics."""

        def apply(variables, images, key):
            del key
            return _generate(variables[name], images, module=module)

        return cls((name,), apply, module)

    @classmethod
    def each_way(cls, ab: nn.Module, ba: nn.Module) -> dict[str, "Translation"]:
        """Both directions, each by a generator: g_ab and g_ba."""
        return {"AtoB": cls.by("g_ab", ab), "BtoA": cls.by("g_ba", ba)}


@functools.partial(jax.jit, static_argnames="module")
def _generate(variables, images, *, module):
    return module.apply(variables, images)


class Method(Protocol):
    """What every method has; no class derives from it.

    Its networks are Flax modules, called as `module(inputs, train=True)`, with
    `dropout_keys` ([B] PRNG keys) where they have an attribute `dropout` that is true.
    `size_multiple` and `smallest_size` are attributes of those that need them.

    Attributes:
      paired: whether image i of A and image i of B in a batch show the same scene.
      modules: network name -> module, of all networks. Those that no phase trains keep
        the parameters that they are given (see `Recipe.pretrained`).
      phases: the parts of a training step, in order.
      pools: name of an output -> its channels, for outputs that pass through an image
        pool before later phases get them.
      translations: direction (AtoB, BtoA) -> how it translates; may lack one.
    """

    @property
    def paired(self) -> bool: ...  # noqa: D102 (see above)

    @property
    def modules(self) -> dict[str, nn.Module]: ...  # noqa: D102

    @property
    def phases(self) -> tuple[Phase, ...]: ...  # noqa: D102

    @property
    def pools(self) -> dict[str, int]: ...  # noqa: D102

    @property
    def translations(self) -> dict[str, Translation]: ...  # noqa: D102

    def blanks(self, image_size: tuple[int, int]) -> dict[str, Any]:
        """Returns network name -> an input of that network, a batch of 1."""


class Pretrained(NamedTuple):
    """Where the parameters of a network are that a method does not train.

    Attributes:
      network: what published it.
      module: the method's, which may have other attributes than `network.module`.
      path: the file; or `auto`: see `torch_files.published.locate`.
      setting: name of the setting with that path, for messages.
      sha256: how the SHA-256 of a named file must begin, by the setting with `_sha256`
        after its name; "" for any.
    """

    network: Published
    module: nn.Module
    path: str
    setting: str
    sha256: str = ""


def pretrained_of(
    loss: Any, network: Published, module: nn.Module
) -> Pretrained | Literal["random"]:
    """Returns where a network of a loss comes from, by the setting `loss.weights`."""
    if loss.weights == "random":
        return "random"
    return Pretrained(network, module, loss.weights, "loss.weights")


def _nothing(config):
    del config
    return {}


class Recipe(NamedTuple):
    """How a method is made from a config; `registry.METHODS` has one per name.

    Attributes:
      build: (config, name of the mapped axis that batch norms average over, or None) ->
        the method; raises a `UserError` for settings that do not go together.
      pretrained: config -> name of a network that no phase trains -> where its
        parameters are, or "random" to initialise them like any other network's.
    """

    build: Callable[[Any, str | None], Method]
    pretrained: Callable[[Any], dict[str, Pretrained | Literal["random"]]] = _nothing


def untrained(method: Method) -> list[str]:
    """Returns the names of the networks that no phase trains."""
    trained = {name for phase in method.phases for name in phase.players}
    return [name for name in method.modules if name not in trained]


def size_multiple(method: Method) -> int:
    """Returns what the height and width of an image must be divisible by."""
    modules = method.modules.values()
    return math.lcm(*(getattr(module, "size_multiple", 1) for module in modules))


def smallest_size(method: Method) -> int:
    """Returns the smallest height and width in pixels that it can be trained on."""
    modules = method.modules.values()
    sizes = (getattr(module, "smallest_size", 1) for module in modules)
    return max(*sizes, size_multiple(method))


def settings(method: Any) -> dict[str, float | str]:
    """Returns the numbers and words that a method was built with, by their names."""
    values: dict[str, float | str] = {}
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, nn.Module):
            values |= settings(value)
        elif isinstance(value, int | float | str):
            values[field.name] = value
    return values
