"""BiGAN (Donahue et al. 2017) and ALI (Dumoulin et al. 2017), on images.

The generator g_ab makes pairs (a, g_ab(a)), the encoder g_ba makes pairs (g_ba(b), b);
one discriminator tells which is which. If it cannot, each inverts the other. Nothing
else ties a translation to its input (Zhu et al. 2017, section 5.1.2).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import check_gan, discriminator_loss
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.core.networks import configured


@dataclasses.dataclass(frozen=True)
class BiGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    Notation as in `CycleGAN`: the discriminator minimises
    1/2 E[ l(d(pool(a, g_ab(a))), 1) + l(d(pool(g_ba(b), b)), 0) ] and is updated first,
    generator and encoder E[ l(d(a, g_ab(a)), 0) + l(d(g_ba(b), b), 1) ].

    Attributes:
      generator_ab: maps [B, H, W, channels_a] to [B, H, W, channels_b].
      generator_ba: the encoder, maps back.
      discriminator: scores pairs [B, H, W, channels_a + channels_b].
      channels_a: channels of the images of A.
      channels_b: channels of the images of B.
      gan_mode: see `losses.GAN_LOSSES`.
      gradient_penalty: weight of the gradient penalty of `wgangp`, `lsgan_gp`.
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

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        pair = jnp.zeros((1, *image_size, self.channels_a + self.channels_b))
        a, b = pair[..., : self.channels_a], pair[..., self.channels_a :]
        return {"g_ab": a, "g_ba": b, "d_ab": pair}

    @property
    def pools(self) -> dict[str, int]:
        """Both kinds of pairs pass through a pool before the discriminator."""
        channels = self.channels_a + self.channels_b
        return {"pair_ab": channels, "pair_ba": channels}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then generator and encoder at once."""
        return (
            Phase((), self.generate),
            Phase(("d_ab",), self.discriminator_loss),
            Phase(("g_ab", "g_ba"), self.generators_loss),
        )

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Generates the pairs for all losses of the step, and keeps their noise."""
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
        """Towards 1 for pairs of the generator, 0 for pairs of the encoder."""
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
        """The same scores, with the labels swapped."""
        pairs = self._pairs(net, images, keep_stats=True)
        scores_ab, scores_ba = (
            net("d_ab", pairs["pair_ab"], real=1.0),
            net("d_ab", pairs["pair_ba"]),
        )
        terms = {
            "g_ab": losses.generator_adversarial(scores_ab, self.gan_mode, wanted=0),
            "g_ba": losses.generator_adversarial(scores_ba, self.gan_mode),
        }
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    @property
    def translations(self) -> dict[str, Translation]:
        """Generator and encoder."""
        return Translation.each_way(self.generator_ab, self.generator_ba)


def build(config: Any, axis_name: str | None) -> BiGAN:
    """Builds the method of a config; see `interface.Recipe`."""
    check_gan(config)
    d = config.data
    return BiGAN(
        generator_ab=configured.generator_of(config, d.channels_b, axis_name),
        generator_ba=configured.generator_of(config, d.channels_a, axis_name),
        discriminator=configured.discriminator_of(
            config, axis_name, (d.channels_a, d.channels_b)
        ),
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        gan_mode=config.loss.gan_mode,
        gradient_penalty=config.loss.gradient_penalty,
    )
