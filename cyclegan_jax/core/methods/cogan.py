"""CoGAN (Liu & Tuzel 2016): two GANs with tied weights generate both domains at once.

No network maps an image to another. Translation inverts the generator by optimisation
over its latent vector z: with the z whose image of one domain is nearest to the given
one, it generates the image of the other domain.
"""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import check_gan, discriminator_loss
from cyclegan_jax.core.methods.interface import Translation, Variables
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.core.networks import configured
from cyclegan_jax.core.networks.coupled import CoupledDiscriminator, CoupledGenerator
from cyclegan_jax.errors import UserError

# Settings of other networks that would be ignored.
_ABSENT = (
    "discriminator.spectral_norm",
    "discriminator.antialias",
    "discriminator.queue_size",
    "generator.antialias",
    "generator.antialias_up",
)


def draw_latent(keys: jax.Array, size: int) -> jax.Array:
    """Draws [B, size] numbers in [-1, 1) with [B] keys."""

    def draw(key):
        return jax.random.uniform(key, (size,), minval=-1.0)

    return jax.vmap(draw)(keys)


@dataclasses.dataclass(frozen=True)
class CoGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    With g(z) = (image of A, image of B), z ~ U(-1, 1), and otherwise as in `CycleGAN`:
    the discriminators minimise 1/2 E[ l(d(a, b), 1) + l(d(g(z)), 0) ] and are updated
    first, the generators E[ l(d(g(z)), 1) ].

    Attributes:
      generator: a `networks.CoupledGenerator`.
      discriminator: a `networks.CoupledDiscriminator`.
      latent_size: numbers in a latent vector.
      inversion_steps: of Adam, to find the latent vector of an image.
      inversion_rate: its learning rate.
      gan_mode: see `losses.GAN_LOSSES`; published: `vanilla`.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent_size: int = 100
    inversion_steps: int = 200
    inversion_rate: float = 0.05
    gan_mode: str = "vanilla"

    paired = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; each serves both domains."""
        return {"g": self.generator, "d": self.discriminator}

    def blanks(
        self, image_size: tuple[int, int]
    ) -> dict[str, jax.Array | tuple[jax.Array, jax.Array]]:
        """Returns an input of each network."""
        a = jnp.zeros((1, *image_size, self.generator.channels_a))
        b = jnp.zeros((1, *image_size, self.generator.channels_b))
        return {"g": jnp.zeros((1, self.latent_size)), "d": (a, b)}

    @property
    def pools(self) -> dict[str, int]:
        """None, as published."""
        return {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminators, then the generators against the updated ones."""
        return (
            Phase((), self.generate),
            Phase(("d",), self.discriminators_loss),
            Phase(("g",), self.generators_loss),
        )

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Draws latent vectors and generates the images of both domains from them."""
        del images
        latent = draw_latent(net.keys(), self.latent_size)
        fake_a, fake_b = net("g", latent, keep_stats=False)
        outputs = {"latent": latent, "fake_a": fake_a, "fake_b": fake_b}
        return jnp.zeros(()), outputs, {}

    def discriminators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Towards 1 for real images of both domains, 0 for generated ones."""
        real = images["real_a"], images["real_b"]
        fake = images["fake_a"], images["fake_b"]
        loss = discriminator_loss(net, "d", real, fake, self.gan_mode)
        return loss, {}, {"d": loss}

    def generators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Towards 1 for generated images of both domains."""
        scores = net("d", net("g", images["latent"]))
        loss = losses.generator_adversarial(scores, self.gan_mode)
        return loss, {}, {"g": loss}

    def invert(self, variables: Variables, images: jax.Array, domain: int) -> jax.Array:
        """Finds the latent vectors of images by optimisation.

        Args:
          variables: of the networks.
          images: [B, size, size, C] in [-1, 1].
          domain: theirs, 0 for A and 1 for B.

        Returns:
          [B, latent_size] in [-1, 1]: Adam's minimum of the mean squared difference,
          started from 0.

        Raises:
          UserError: the images have another size than the generator's.
        """
        size = self.generator.size
        if images.shape[1:3] != (size, size):
            raise UserError(
                f"CoGAN generates images of {size}x{size} pixels and cannot translate"
                f" one of {images.shape[2]}x{images.shape[1]}: use --size=resize."
            )

        latent = jnp.zeros((len(images), self.latent_size))
        state = optax.adam(self.inversion_rate).init(latent)
        settings = {"generator": self.generator, "rate": self.inversion_rate}
        # Not a loop on the device: XLA's convolutions are slow in one on CPUs.
        for _ in range(self.inversion_steps):
            latent, state = _improve(
                latent, state, variables["g"], images, domain=domain, **settings
            )
        return latent

    def _translation(self, source, target):
        def apply(variables, images, key):
            del key
            latent = self.invert(variables, images, source)
            return _draw(variables["g"], latent, generator=self.generator)[target]

        return Translation(("g",), apply)

    @property
    def translations(self) -> dict[str, Translation]:
        """By way of the latent vector."""
        return {"AtoB": self._translation(0, 1), "BtoA": self._translation(1, 0)}


@functools.partial(jax.jit, static_argnames="generator")
def _draw(variables, latent, *, generator):
    return generator.apply(variables, latent)


@functools.partial(jax.jit, static_argnames=("generator", "domain", "rate"))
def _improve(latent, state, variables, images, *, generator, domain, rate):
    """One step of Adam towards the latent vectors of images."""

    def distance(latent):
        drawn = generator.apply(variables, latent)[domain]
        # A sum over images: each image's latent vector has only its own gradient.
        return jnp.sum(jnp.mean(jnp.square(drawn - images), axis=(1, 2, 3)))

    updates, state = optax.adam(rate).update(jax.grad(distance)(latent), state)
    latent = optax.apply_updates(latent, updates)
    return jnp.clip(latent, -1.0, 1.0), state


def build(config: Any, axis_name: str | None) -> CoGAN:
    """Builds the method of a config; see `interface.Recipe`."""
    check_gan(config)
    size = _check_networks(config)
    if losses.GAN_LOSSES[config.loss.gan_mode].gradient_penalty:
        raise UserError(
            "method cogan has no gradient penalty: choose another gan_mode."
        )
    common = configured.computation(config, axis_name)

    def settings(network):
        names = ("width", "norm", "init_type", "init_gain")
        return {name: network[name] for name in names} | common

    return CoGAN(
        generator=CoupledGenerator(
            size=size,
            channels_a=config.data.channels_a,
            channels_b=config.data.channels_b,
            **settings(config.generator),
        ),
        discriminator=CoupledDiscriminator(
            **settings(config.discriminator), **configured.observation(config)
        ),
        latent_size=config.cogan.latent_size,
        inversion_steps=config.cogan.inversion_steps,
        inversion_rate=config.cogan.inversion_rate,
        gan_mode=config.loss.gan_mode,
    )


def _check_networks(config):
    """Checks that a config names coupled networks; returns the size of the images."""
    d = config.data
    match = re.fullmatch(r"coupled_(\d+)", config.generator.name)
    size = int(match[1]) if match else 0
    if size < 8 or size & (size - 1) or config.discriminator.name != "coupled":
        raise UserError(
            "method cogan needs coupled networks: set generator.name to coupled_<size>"
            " with a power of two, such as coupled_128, and discriminator.name to"
            " coupled."
        )
    if d.preprocess != "resize_and_crop" or d.crop_size != size:
        raise UserError(  # Test images are to have that size, too.
            f"generator {config.generator.name} generates {size}x{size} images: set"
            f" data.crop_size={size} (it is {d.crop_size}) and"
            " data.preprocess='resize_and_crop'."
        )
    for name in _ABSENT:
        group, _, setting = name.partition(".")
        if config[group][setting]:
            raise UserError(f"method cogan has no {name}.")
    if {config.generator.norm, config.discriminator.norm} - {"batch", "none"}:
        raise UserError("method cogan needs norm batch (as published) or none.")
    return size
