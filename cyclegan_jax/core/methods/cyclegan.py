"""CycleGAN (Zhu et al. 2017): two generators, two discriminators, one cycle each way.

`g_ab` translates domain A to B, `g_ba` back; `d_a` judges images of A, `d_b` of B.
(The reference code calls our `d_b` D_A and our `d_a` D_B.)
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """How the terms are added up (section 3.3 and appendix 7.1). 0 leaves a term out.

    Attributes:
      gan: of both adversarial terms.
      cycle_a: of A -> B -> A (lambda_A in the reference).
      cycle_b: of B -> A -> B (lambda_B).
      identity: of the identity terms, as a fraction of the cycle weight of the domain.
      gradient_penalty: of the gradient penalty; only with `wgangp`.
    """

    gan: float = 1.0
    cycle_a: float = 10.0
    cycle_b: float = 10.0
    identity: float = 0.5
    gradient_penalty: float = 10.0


@dataclasses.dataclass(frozen=True)
class CycleGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    Attributes:
      generator_ab: maps [B, H, W, channels_a] to [B, H, W, channels_b].
      generator_ba: maps back.
      discriminator_a: scores images of A.
      discriminator_b: scores images of B.
      channels_a: channels of the images of A.
      channels_b: channels of the images of B.
      weights: see `LossWeights`.
      gan_mode: see `losses.GAN_MODES`.
    """

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module
    channels_a: int = 3
    channels_b: int = 3
    weights: LossWeights = LossWeights()
    gan_mode: str = "lsgan"

    paired = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; without adversarial loss there are no judges."""
        generators = {"g_ab": self.generator_ab, "g_ba": self.generator_ba}
        if not self.weights.gan:
            return generators
        return generators | {"d_a": self.discriminator_a, "d_b": self.discriminator_b}

    @property
    def size_multiple(self) -> int:
        """What the height and width of an image must be divisible by."""
        return self.generator_ab.size_multiple

    @property
    def smallest_size(self) -> int:
        """The smallest height and width that it can be trained on."""
        least = self.discriminator_a.smallest_size if self.weights.gan else 1
        return max(least, self.size_multiple)

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        a = jnp.zeros((1, *image_size, self.channels_a))
        b = jnp.zeros((1, *image_size, self.channels_b))
        return {"g_ab": a, "g_ba": b, "d_a": a, "d_b": b}

    @property
    def pools(self) -> dict[str, int]:
        """The generated images that pass through a pool, with their channels."""
        if not self.weights.gan:
            return {}
        return {"fake_a": self.channels_a, "fake_b": self.channels_b}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Generators, then discriminators.

        The discriminators learn from images made before the generators' update, so
        this equals taking all four gradients at the same parameters.
        """
        generators = Phase(("g_ab", "g_ba"), self.generators_loss)
        if not self.weights.gan:
            return (generators,)
        return generators, Phase(("d_a", "d_b"), self.discriminators_loss)

    def generators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Adversarial, cycle and identity terms of both generators."""
        w = self.weights
        real_a, real_b = images["real_a"], images["real_b"]
        if w.identity and w.cycle_b:
            net.announce("g_ab", real_a, real_b)
        if w.identity and w.cycle_a:
            net.announce("g_ba", real_b, real_a)
        fake_b = net("g_ab", real_a)
        cycle_a = net("g_ba", fake_b) if w.cycle_a else None
        fake_a = net("g_ba", real_b)
        cycle_b = net("g_ab", fake_a) if w.cycle_b else None

        terms = {}
        if w.identity and w.cycle_b:
            identity_b = net("g_ab", real_b)
            weight = w.identity * w.cycle_b
            terms["identity_b"] = weight * losses.l1(identity_b, real_b)
        if w.identity and w.cycle_a:
            identity_a = net("g_ba", real_a)
            weight = w.identity * w.cycle_a
            terms["identity_a"] = weight * losses.l1(identity_a, real_a)
        if w.gan:
            scores_b, scores_a = net("d_b", fake_b), net("d_a", fake_a)
            adversarial = functools.partial(
                losses.generator_adversarial, mode=self.gan_mode
            )
            terms["g_ab"] = w.gan * adversarial(scores_b)
            terms["g_ba"] = w.gan * adversarial(scores_a)
        if w.cycle_a:
            terms["cycle_a"] = w.cycle_a * losses.l1(cycle_a, real_a)
        if w.cycle_b:
            terms["cycle_b"] = w.cycle_b * losses.l1(cycle_b, real_b)
        return sum(terms.values()), {"fake_a": fake_a, "fake_b": fake_b}, terms

    def discriminators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Each discriminator's loss on real images and on images from the pool."""
        terms = {}
        for judge, domain in (("d_b", "b"), ("d_a", "a")):
            real, fake = images[f"real_{domain}"], images[f"fake_{domain}"]
            net.announce(judge, real, fake)
            terms[judge] = discriminator_loss(
                net, judge, real, fake, self.gan_mode, self.weights.gradient_penalty
            )
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    @property
    def translations(self) -> dict[str, Translation]:
        """Each generator is one direction."""
        return Translation.each_way(self.generator_ab, self.generator_ba)

    def samples(
        self,
        translate: Callable[[str, jax.Array], jax.Array],
        real_a: jax.Array,
        real_b: jax.Array,
    ) -> dict[str, jax.Array]:
        """There and back again, and what becomes of images of the output domain."""
        fake_b, fake_a = translate("AtoB", real_a), translate("BtoA", real_b)
        side_a = {"real A": real_a, "A to B": fake_b}
        side_a["cycle A"] = translate("BtoA", fake_b)
        side_b = {"real B": real_b, "B to A": fake_a}
        side_b["cycle B"] = translate("AtoB", fake_a)
        if self.channels_a == self.channels_b:
            side_a["identity A"] = translate("BtoA", real_a)
            side_b["identity B"] = translate("AtoB", real_b)
        return side_a | side_b

    @property
    def description(self) -> str:
        """The losses in a few words."""
        w = self.weights
        identity = "no identity loss: the domains have different numbers of channels"
        if self.channels_a == self.channels_b:
            a, b = w.identity * w.cycle_a, w.identity * w.cycle_b
            identity = f"identity {a:g} (A), {b:g} (B)"
        cycle = f"cycle {w.cycle_a:g} (A), {w.cycle_b:g} (B)"
        return f"{self.gan_mode} {w.gan:g}, {cycle}, {identity}"
