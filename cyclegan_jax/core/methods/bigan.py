"""BiGAN (Donahue et al. 2017) and ALI (Dumoulin et al. 2017), on images.

The generator g_ab makes pairs (a, g_ab(a)), the encoder g_ba makes pairs (g_ba(b), b);
one discriminator tells which is which. If it cannot, each inverts the other. Nothing
else holds a translation to its input (Zhu et al. 2017, section 5.1.2).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase


@dataclasses.dataclass(frozen=True)
class BiGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    Attributes:
      generator_ab: maps [B, H, W, channels_a] to [B, H, W, channels_b].
      generator_ba: the encoder, maps back.
      discriminator: scores pairs [B, H, W, channels_a + channels_b].
      channels_a: channels of the images of A.
      channels_b: channels of the images of B.
      gan_mode: see `losses.GAN_MODES`.
      gradient_penalty: of the gradient penalty; only with `wgangp`.
    """

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator: nn.Module
    channels_a: int = 3
    channels_b: int = 3
    gan_mode: str = "lsgan"
    gradient_penalty: float = 10.0

    paired = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        generators = {"g_ab": self.generator_ab, "g_ba": self.generator_ba}
        return generators | {"d_ab": self.discriminator}

    @property
    def size_multiple(self) -> int:
        """What the height and width of an image must be divisible by."""
        return self.generator_ab.size_multiple

    @property
    def smallest_size(self) -> int:
        """The smallest height and width that it can be trained on."""
        return max(self.discriminator.smallest_size, self.size_multiple)

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        pair = jnp.zeros((1, *image_size, self.channels_a + self.channels_b))
        a, b = pair[..., : self.channels_a], pair[..., self.channels_a :]
        return {"g_ab": a, "g_ba": b, "d_ab": pair}

    @property
    def pools(self) -> dict[str, int]:
        """Both kinds of pairs pass through a pool before they are judged."""
        channels = self.channels_a + self.channels_b
        return {"pair_ab": channels, "pair_ba": channels}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then generator and encoder, which do not meet."""
        return (
            Phase((), self.generate),
            Phase(("d_ab",), self.discriminator_loss),
            Phase(("g_ab", "g_ba"), self.generators_loss),
        )

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Makes the pairs that all will learn from, and keeps their noise."""
        noise = {"noise_ab": net.keys(), "noise_ba": net.keys()}
        pairs = self._pairs(net, images | noise, keep_stats=False)
        return jnp.zeros(()), pairs | noise, {}

    def _pairs(self, net, images, keep_stats):
        real_a, real_b = images["real_a"], images["real_b"]
        fake_b = net(
            "g_ab", real_a, dropout_keys=images["noise_ab"], keep_stats=keep_stats
        )
        fake_a = net(
            "g_ba", real_b, dropout_keys=images["noise_ba"], keep_stats=keep_stats
        )
        return {
            "pair_ab": jnp.concatenate([real_a, fake_b], axis=-1),
            "pair_ba": jnp.concatenate([fake_a, real_b], axis=-1),
        }

    def discriminator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Pairs of the generator are to score 1, pairs of the encoder 0."""
        loss = discriminator_loss(
            net,
            "d_ab",
            images["pair_ab"],
            images["pair_ba"],
            self.gan_mode,
            self.gradient_penalty,
        )
        return loss, {}, {"d_ab": loss}

    def generators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Each wants its pairs to be taken for the other's."""
        pairs = self._pairs(net, images, keep_stats=True)
        scores_ab, scores_ba = (
            net("d_ab", pairs["pair_ab"]),
            net("d_ab", pairs["pair_ba"]),
        )
        terms = {
            "g_ab": losses.generator_adversarial(scores_ab, self.gan_mode, wanted=0),
            "g_ba": losses.generator_adversarial(scores_ba, self.gan_mode),
        }
        return sum(terms.values()), {}, terms

    @property
    def translations(self) -> dict[str, Translation]:
        """Generator and encoder."""
        return Translation.each_way(self.generator_ab, self.generator_ba)

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """There, and back again, which no loss asks for."""
        fake_b, fake_a = translate("AtoB", real_a), translate("BtoA", real_b)
        return {
            "real A": real_a,
            "A to B": fake_b,
            "and back": translate("BtoA", fake_b),
            "real B": real_b,
            "B to A": fake_a,
            "back to B": translate("AtoB", fake_a),
        }

    @property
    def description(self) -> str:
        """The losses in a few words."""
        return f"{self.gan_mode}, of pairs (a, g_ab(a)) against (g_ba(b), b)"
