"""What methods that translate in one direction only have in common."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.phases import Arrays, Networks
from cyclegan_jax.core.networks import configured
from cyclegan_jax.directions import domains
from cyclegan_jax.errors import UserError


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


@dataclasses.dataclass(frozen=True)
class OneWayMethod:
    """Base of these methods: one generator and one discriminator.

    Attributes:
      generator: maps [B, H, W, channels_in] to [B, H, W, channels_out].
      discriminator: scores what `seen` returns.
      direction: AtoB or BtoA.
      channels_in: channels of the images that are translated.
      channels_out: channels of their translations.
      gan: weight of the adversarial term.
      gan_mode: see `losses.GAN_LOSSES`.
      gradient_penalty: weight of the gradient penalty of `wgangp`, `lsgan_gp`.
    """

    generator: nn.Module
    discriminator: nn.Module
    _: dataclasses.KW_ONLY
    direction: str = "AtoB"
    channels_in: int = 3
    channels_out: int = 3
    gan: float = 1.0
    gan_mode: str = "lsgan"
    gradient_penalty: float = 10.0

    paired = False

    @property
    def names(self) -> OneWay:
        """What the networks and images are called in this direction."""
        return OneWay.of(self.direction)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {
            self.names.generator: self.generator,
            self.names.discriminator: self.discriminator,
        }

    def seen(self, given: jax.Array, image: jax.Array) -> jax.Array:
        """What the discriminator is given: an image of the target domain, or more.

        Args:
          given: [B, H, W, channels_in] images that are translated.
          image: [B, H, W, channels_out] their translations, or real images.
        """
        del given
        return image

    def discriminator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The discriminator's loss on real images and on translations."""
        given = images[self.names.real_source]
        loss = discriminator_loss(
            net,
            self.names.discriminator,
            self.seen(given, images[self.names.real_target]),
            self.seen(given, images["fake"]),
            self.gan_mode,
            self.gradient_penalty,
        )
        return loss, {}, {self.names.discriminator: loss}

    @property
    def translations(self) -> dict[str, Translation]:
        """One direction."""
        by = Translation.by(self.names.generator, self.generator)
        return {self.direction: by}


def check_same_channels(config: Any, compared: str) -> None:
    """Checks that images of both domains have as many channels.

    Args:
      config: of a run.
      compared: what the method compares of an image and its translation.

    Raises:
      UserError: they have not.
    """
    a, b = config.data.channels_a, config.data.channels_b
    if a != b:
        raise UserError(
            f"method {config.method} compares {compared} of input and output, which"
            f" needs data.channels_a ({a}) and data.channels_b ({b}) to be the same."
        )


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
