"""Names in methods that translate in one direction only."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cyclegan_jax.core.methods.phases import Arrays, Networks
from cyclegan_jax.directions import domains


class OneWay(NamedTuple):
    """A direction, and what its networks and arrays are called.

    Attributes:
      source: domain that is translated, "a" or "b".
      target: the other one.
    """

    source: str
    target: str

    @classmethod
    def of(cls, direction: str) -> "OneWay":
        """Returns the names for AtoB or BtoA."""
        return cls(*domains(direction))

    @property
    def generator(self) -> str:
        """g_ab or g_ba."""
        return f"g_{self.source}{self.target}"

    @property
    def judge(self) -> str:
        """d_b or d_a: of images of the target domain."""
        return f"d_{self.target}"

    @property
    def given(self) -> str:
        """The real images that are translated: real_a or real_b."""
        return f"real_{self.source}"

    @property
    def wanted(self) -> str:
        """The real images of the target domain: real_b or real_a."""
        return f"real_{self.target}"

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Makes the images that both players will learn from, and keeps their noise."""
        noise = net.keys()
        fake = net(
            self.generator,
            images[self.given],
            dropout_keys=noise,
            keep_stats=False,  # The generator's turn makes the same images again.
        )
        return jnp.zeros(()), {"fake": fake, "noise": noise}, {}

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """What is translated, what becomes of it, and real images of the target."""
        real = {"a": real_a, "b": real_b}
        a, b = self.source.upper(), self.target.upper()
        return {
            f"real {a}": real[self.source],
            f"{a} to {b}": translate(f"{a}to{b}", real[self.source]),
            f"real {b}": real[self.target],
        }
