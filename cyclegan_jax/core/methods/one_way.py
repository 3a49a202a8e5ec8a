"""What methods that translate in one direction only have in common."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cyclegan_jax.core.methods.phases import Arrays, Networks
from cyclegan_jax.core.networks import configured
from cyclegan_jax.directions import domains


class OneWay(NamedTuple):
    """A direction, and the names of its networks and arrays.

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
    def discriminator(self) -> str:
        """d_b or d_a: of images of the target domain."""
        return f"d_{self.target}"

    @property
    def projection(self) -> str:
        """f_ab or f_ba: of the generator's features, where a method has one."""
        return f"f_{self.source}{self.target}"

    @property
    def real_source(self) -> str:
        """The real images that are translated: real_a or real_b."""
        return f"real_{self.source}"

    @property
    def real_target(self) -> str:
        """The real images of the target domain: real_b or real_a."""
        return f"real_{self.target}"

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Generates the images for both networks' losses, and keeps their noise."""
        noise = net.keys()
        fake = net(
            self.generator,
            images[self.real_source],
            dropout_keys=noise,
            keep_stats=False,  # The generator's phase generates the same images again.
        )
        return jnp.zeros(()), {"fake": fake, "noise": noise}, {}


def common_settings(
    config: Any, axis_name: str | None, *, pairs: bool = False
) -> dict[str, Any]:
    """Returns the attributes that these methods share, from a config.

    Args:
      config: of a run.
      axis_name: see `norms.BatchNorm`.
      pairs: whether the discriminator sees an image together with its translation.

    Raises:
      UserError: a network's name or a setting is not known.
    """
    channels = [config.data.channels_a, config.data.channels_b]
    if config.direction == "BtoA":
        channels.reverse()
    return {
        "generator": configured.generator_of(config, channels[1], axis_name),
        "discriminator": configured.discriminator_of(
            config, axis_name, tuple(channels) if pairs else ()
        ),
        "direction": config.direction,
        "channels_in": channels[0],
        "channels_out": channels[1],
        "gan": config.loss.gan,
        "gan_mode": config.loss.gan_mode,
        "gradient_penalty": config.loss.gradient_penalty,
    }
