"""What a training method is: everything that the rest of the code asks it for.

A method is a frozen dataclass; `cyclegan.py` is the one to read first. The names of its
networks begin with "g" if they make images (these may get moving averages) and with "d"
if they judge them.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
from flax import linen as nn

from cyclegan_jax.core.methods.phases import Phase

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
    """The interface; no class derives from it.

    Attributes:
      paired: whether image i of A and image i of B in a batch show the same scene.
      modules: network name -> module, of all networks. Those that no phase trains keep
        the parameters that they are given.
      phases: what happens in one step, in order.
      pools: name of an output -> its channels, for outputs that go through an image
        pool before later phases see them.
      translations: direction (AtoB, BtoA) -> how it translates; may lack one.
      size_multiple: what the height and width of an image must be divisible by.
      smallest_size: the smallest height and width that it can be trained on.
      description: the losses in a few words, for a person.
    """

    paired: bool
    modules: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    pools: dict[str, int]
    translations: dict[str, Translation]
    size_multiple: int
    smallest_size: int
    description: str

    def blanks(self, image_size: tuple[int, int]) -> dict[str, Any]:
        """Returns network name -> an input of that network, a batch of 1."""

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """Returns the columns of a sample grid: title -> images.

        Args:
          translate: (direction, images) -> images.
          real_a: images of A, [N, H, W, C] in [-1, 1].
          real_b: images of B; pairs of the above, if the method is paired.
        """
