"""GANs that hold on to the input instead of a cycle: SimGAN, feature loss + GAN.

One generator, one discriminator, no pairs: the translation must look like the target
domain and stay near its input, by pixels (SimGAN, Shrivastava et al. 2017) or by the
features of a network that recognises objects (Zhu et al. 2017, section 5.1.2).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.one_way import OneWay
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase

# The released code divides the gradient of the features by 127.5 where the chain rule
# multiplies by it.
LUA_GRADIENT = 1.0 / 127.5**2


@dataclasses.dataclass(frozen=True)
class ContentGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    Attributes:
      generator: maps [B, H, W, channels_in] to [B, H, W, channels_out].
      discriminator: scores [B, H, W, channels_out].
      features: maps images to features (`networks.VGG16`) and is not trained; None to
        compare pixels, which needs as many channels in as out.
      direction: AtoB or BtoA.
      channels_in: channels of the images that are translated.
      channels_out: channels of their translations.
      gan: weight of the adversarial term.
      content: weight of the mean absolute difference to the input.
      gan_mode: see `losses.GAN_MODES`.
      gradient_penalty: of the gradient penalty; only with `wgangp`.
      feature_gradient: factor on the gradient through the features; 1 is the true one,
        `LUA_GRADIENT` that of the released code.
    """

    generator: nn.Module
    discriminator: nn.Module
    features: nn.Module | None = None
    direction: str = "AtoB"
    channels_in: int = 3
    channels_out: int = 3
    gan: float = 1.0
    content: float = 10.0
    gan_mode: str = "lsgan"
    gradient_penalty: float = 10.0
    feature_gradient: float = 1.0

    paired = False

    @property
    def names(self) -> OneWay:
        """What the networks and images are called in this direction."""
        return OneWay.of(self.direction)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; `vgg` keeps its parameters."""
        modules = {
            self.names.generator: self.generator,
            self.names.judge: self.discriminator,
        }
        return modules | ({"vgg": self.features} if self.features else {})

    @property
    def size_multiple(self) -> int:
        """What the height and width of an image must be divisible by."""
        return self.generator.size_multiple

    @property
    def smallest_size(self) -> int:
        """The smallest height and width that it can be trained on."""
        return max(self.discriminator.smallest_size, self.size_multiple)

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        given = jnp.zeros((1, *image_size, self.channels_in))
        wanted = jnp.zeros((1, *image_size, self.channels_out))
        return {self.names.generator: given, self.names.judge: wanted, "vgg": given}

    @property
    def pools(self) -> dict[str, int]:
        """Translations pass through a pool before they are judged."""
        return {"fake": self.channels_out}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator, which has to please the new one."""
        return (
            Phase((), self.names.generate),
            Phase((self.names.judge,), self.discriminator_loss),
            Phase((self.names.generator,), self.generator_loss),
        )

    def discriminator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The discriminator's loss on real images and on translations of the pool."""
        loss = discriminator_loss(
            net,
            self.names.judge,
            images[self.names.wanted],
            images["fake"],
            self.gan_mode,
            self.gradient_penalty,
        )
        return loss, {}, {self.names.judge: loss}

    def generator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The adversarial term, on new translations, and the distance to the input."""
        name, given = self.names.generator, images[self.names.given]
        fake = net(name, given, dropout_keys=images["noise"])
        scores = net(self.names.judge, fake)
        adversarial = losses.generator_adversarial(scores, self.gan_mode)
        terms = {name: self.gan * adversarial}
        if self.content:
            terms["content"] = self.content * self._content(net, fake, given)
        return sum(terms.values()), {}, terms

    def _content(self, net, fake, given):
        if self.features is None:
            return losses.l1(fake, given)
        still = jax.lax.stop_gradient(fake)
        fake = still + self.feature_gradient * (fake - still)
        return losses.l1(net("vgg", fake), net("vgg", given))

    @property
    def translations(self) -> dict[str, Translation]:
        """One direction."""
        by = Translation.by(self.names.generator, self.generator)
        return {self.direction: by}

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """Input, output, and images of the target domain."""
        return self.names.samples(translate, real_a, real_b)

    @property
    def description(self) -> str:
        """The losses in a few words."""
        what = "pixels" if self.features is None else "features relu4_2"
        adversarial = f"{self.gan_mode} {self.gan:g}"
        return f"{self.direction}: {adversarial}, L1 of {what} {self.content:g}"
