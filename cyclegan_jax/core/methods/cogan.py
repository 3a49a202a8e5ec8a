"""CoGAN (Liu & Tuzel 2016): two GANs with tied weights draw both domains at once.

Nothing in it maps an image to another. To translate, the latent vector is sought whose
image of one domain is nearest to the given one; its other image is the translation.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import Translation, Variables
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.errors import UserError


def draw_latent(keys: jax.Array, size: int) -> jax.Array:
    """Draws [B, size] numbers in [-1, 1) with [B] keys."""

    def draw(key):
        return jax.random.uniform(key, (size,), minval=-1.0)

    return jax.vmap(draw)(keys)


@dataclasses.dataclass(frozen=True)
class CoGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    Attributes:
      generator: a `networks.CoupledGenerator`.
      discriminator: a `networks.CoupledDiscriminator`.
      latent_size: numbers in a latent vector.
      inversion_steps: of Adam, to find the latent vector of an image.
      inversion_rate: its learning rate.
      gan_mode: see `losses.GAN_MODES`; published: `vanilla`.
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

    @property
    def size_multiple(self) -> int:
        """The generator makes images of one size."""
        return self.generator.size

    @property
    def smallest_size(self) -> int:
        """The generator makes images of one size."""
        return self.generator.size

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
        """The discriminators, then the generators, which have to please them."""
        return (
            Phase((), self.generate),
            Phase(("d",), self.discriminators_loss),
            Phase(("g",), self.generators_loss),
        )

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Draws latent vectors and the images of both domains that they stand for."""
        del images
        latent = draw_latent(net.keys(), self.latent_size)
        fake_a, fake_b = net("g", latent, keep_stats=False)
        outputs = {"latent": latent, "fake_a": fake_a, "fake_b": fake_b}
        return jnp.zeros(()), outputs, {}

    def discriminators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Real images of both domains are to score 1, drawn ones 0."""
        real = images["real_a"], images["real_b"]
        fake = images["fake_a"], images["fake_b"]
        loss = discriminator_loss(net, "d", real, fake, self.gan_mode)
        return loss, {}, {"d": loss}

    def generators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Drawn images of both domains are to score as real ones."""
        scores = net("d", net("g", images["latent"]))
        loss = losses.generator_adversarial(scores, self.gan_mode)
        return loss, {}, {"g": loss}

    def invert(self, variables: Variables, images: jax.Array, domain: int) -> jax.Array:
        """Seeks the latent vectors of images.

        Args:
          variables: of the networks.
          images: [B, size, size, C] in [-1, 1].
          domain: theirs, 0 for A and 1 for B.

        Returns:
          [B, latent_size] in [-1, 1], found by Adam on the mean squared difference,
          from the middle of the latent space.

        Raises:
          UserError: the images have another size than the generator's.
        """
        size = self.generator.size
        if images.shape[1:3] != (size, size):
            raise UserError(
                f"CoGAN draws pictures of {size}x{size} pixels and cannot translate"
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

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """Input and output of both directions."""
        return {
            "real A": real_a,
            "A to B": translate("AtoB", real_a),
            "real B": real_b,
            "B to A": translate("BtoA", real_b),
        }

    @property
    def description(self) -> str:
        """The losses in a few words."""
        return f"{self.gan_mode}, of images of both domains from one latent vector"


@functools.partial(jax.jit, static_argnames="generator")
def _draw(variables, latent, *, generator):
    return generator.apply(variables, latent)


@functools.partial(jax.jit, static_argnames=("generator", "domain", "rate"))
def _improve(latent, state, variables, images, *, generator, domain, rate):
    """One step of Adam towards the latent vectors of images."""

    def distance(latent):
        drawn = generator.apply(variables, latent)[domain]
        # A sum over images: each has a latent vector, and a gradient, of its own.
        return jnp.sum(jnp.mean(jnp.square(drawn - images), axis=(1, 2, 3)))

    updates, state = optax.adam(rate).update(jax.grad(distance)(latent), state)
    latent = optax.apply_updates(latent, updates)
    return jnp.clip(latent, -1.0, 1.0), state
