"""pix2pix (Isola et al. 2017): one generator that learns from pairs.

The discriminator takes pairs: an image together with its translation, or with the true
one. Noise enters as dropout, in training and in translation.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.one_way import OneWayMethod, common_settings
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.errors import UserError

STATISTICS = ("image", "running")


@dataclasses.dataclass(frozen=True)
class Pix2Pix(OneWayMethod):
    """The method's networks, losses, and the order of its updates; a `Method`.

    Pairs (a, b), notation as in `CycleGAN`: the discriminator minimises
    1/2 E[ l(d(a, b), 1) + l(d(a, g(a)), 0) ] and is updated first, the generator
    gan * E[ l(d(a, g(a)), 1) ] + l1 * |g(a) - b|.

    Without the weight `gan` there is no discriminator.

    Attributes:
      l1: weight of the distance to the true image (100 in the paper).
      test_dropout: whether translations have noise, as published.
      test_statistics: what batch norm uses in translations: `image`, the statistics of
        the one image, as published (there in batches of one); or the `running` ones.
    """

    _: dataclasses.KW_ONLY
    gan_mode: str = "vanilla"
    l1: float = 100.0
    test_dropout: bool = True
    test_statistics: str = "image"

    paired = True

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; no discriminator without an adversarial loss."""
        if self.gan:
            return super().modules
        return {self.names.generator: self.generator}

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        pair = jnp.zeros((1, *image_size, self.channels_in + self.channels_out))
        given = pair[..., : self.channels_in]
        return {self.names.generator: given, self.names.discriminator: pair}

    @property
    def pools(self) -> dict[str, int]:
        """None: in a pool an image would lose its partner."""
        return {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator against the updated discriminator."""
        generator = Phase((self.names.generator,), self.generator_loss)
        if not self.gan:
            return (generator,)
        return (
            Phase((), self.names.generate),
            Phase((self.names.discriminator,), self.discriminator_loss),
            generator,
        )

    def seen(self, given: jax.Array, image: jax.Array) -> jax.Array:
        """Pairs: [B, H, W, channels_in + channels_out]."""
        return jnp.concatenate([given, image], axis=-1)

    def generator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The adversarial term and the distance to the true image."""
        name, given = self.names.generator, images[self.names.real_source]
        fake = net(name, given, dropout_keys=images.get("noise"))
        terms = {}
        if self.gan:
            scores = net(self.names.discriminator, self.seen(given, fake))
            terms[name] = self.gan * losses.generator_adversarial(scores, self.gan_mode)
        if self.l1:
            terms["l1"] = self.l1 * losses.l1(fake, images[self.names.real_target])
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    @property
    def translations(self) -> dict[str, Translation]:
        """One direction, with noise and the statistics that were chosen."""
        name = self.names.generator
        statistics = self.generator.norm == "batch" and self.test_statistics == "image"
        if not statistics and not (self.test_dropout and self.generator.dropout):
            return {self.direction: Translation.by(name, self.generator)}
        settings = {
            "module": self.generator.clone(axis_name=None),  # Each image by itself.
            "train": statistics,
            "dropout": self.test_dropout,
        }

        def apply(variables, images, key):
            return _generate(variables[name], images, key, **settings)

        return {self.direction: Translation((name,), apply)}


@functools.partial(jax.jit, static_argnames=("module", "train", "dropout"))
def _generate(variables, images, key, *, module, train, dropout):
    """Translates each image as a batch of one, all with the same noise."""

    def translate(image):
        y, _ = module.apply(
            variables,
            image[None],
            train=train,
            dropout_keys=key[None] if dropout else None,
            mutable=["batch_stats"],
        )
        return y[0]

    return jax.vmap(translate)(images)


def build(config: Any, axis_name: str | None) -> Pix2Pix:
    """Builds the method of a config; see `interface.Recipe`."""
    if not (config.loss.gan or config.loss.l1):
        raise UserError("loss.gan and loss.l1 are both 0: nothing to train.")
    return Pix2Pix(
        **common_settings(config, axis_name, pairs=True),
        l1=config.loss.l1,
        test_dropout=config.test_dropout,
        test_statistics=config.test_statistics,
    )
