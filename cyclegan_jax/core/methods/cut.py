"""CUT and FastCUT (Park et al. 2020): contrast between patches instead of a cycle.

A patch of a translation must resemble the patch of the input at the same place more
than other patches of that input, by features of the generator's own encoder. There is
no second generator. FastCUT leaves out the identity term and flips at random.
"""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import check_gan
from cyclegan_jax.core.methods.one_way import (
    OneWayMethod,
    check_same_channels,
    common_settings,
)
from cyclegan_jax.core.methods.phases import Arrays, Networks, Phase
from cyclegan_jax.core.networks import projection
from cyclegan_jax.errors import UserError


def draw_flips(keys: jax.Array) -> jax.Array:
    """Draws [B] bools, each true with probability 1/2, with [B] keys."""
    return jax.vmap(jax.random.bernoulli)(keys)


@dataclasses.dataclass(frozen=True)
class CUT(OneWayMethod):
    """The method's networks, losses, and the order of its updates; a `Method`.

    Notation as in `CycleGAN`; e_l(x) are the features of the generator's layer l at
    some random places, v_l = f_l(e_l(x)) their projections, of length 1, and
    c(x, y) = mean over l and places i of -log softmax_j(v_l(y)_i . v_l(x)_j / t) at
    j = i, where j are the places drawn from the same image. v_l(x) has no gradient.
    The discriminator minimises 1/2 E[ l(d(b), 1) + l(d(g(a)), 0) ] and is updated
    first, generator and projection
    gan * E[ l(d(g(a)), 1) ] + nce * c(a, g(a)) + nce_identity * c(b, g(b)).

    Attributes:
      projection: maps features of patches to unit vectors (`PatchProjection`).
      nce: weight of the contrast between input and translation.
      nce_identity: weight of that of images of the target domain; 0 in FastCUT.
      layers: numbers of the layers with features, see `ResNetGenerator.__call__`.
      patches: places in each layer and image.
      temperature: t.
      flip_equivariance: flip the generator's input at random, and its features back.
    """

    projection: nn.Module
    nce: float = 0.5
    nce_identity: float = 0.5
    layers: tuple[int, ...] = (0, 4, 8, 12, 16)
    patches: int = 256
    temperature: float = 0.07
    flip_equivariance: bool = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name; f_ab projects."""
        return super().modules | {self.names.projection: self.projection}

    def blanks(self, image_size: tuple[int, int]) -> dict[str, Any]:
        """Returns an input of each network."""
        image = jnp.zeros((1, *image_size, self.channels_in))
        encode = functools.partial(
            self.generator.init_with_output, features=self.layers
        )
        features, _ = jax.eval_shape(encode, jax.random.key(0), image)
        return {
            self.names.generator: image,
            self.names.discriminator: image,
            self.names.projection: tuple(
                jnp.zeros((1, 1, x.shape[-1])) for x in features
            ),
        }

    @property
    def pools(self) -> dict[str, int]:
        """None, as published."""
        return {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the others against the updated discriminator."""
        return (
            Phase((), self.generate),
            Phase((self.names.discriminator,), self.discriminator_loss),
            Phase((self.names.generator, self.names.projection), self.generator_loss),
        )

    def generate(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """Decides which slots are flipped, and generates the images for all losses."""
        if not self.flip_equivariance:
            return self.names.generate(net, images)
        flipped = draw_flips(net.keys())
        source = self.names.real_source
        given = images | {source: _flip(images[source], flipped)}
        loss, outputs, terms = self.names.generate(net, given)
        return loss, outputs | {"flipped": flipped}, terms

    def generator_loss(
        self, net: Networks, images: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays]:
        """The adversarial term, and the contrast of translations and of identities."""
        name, flipped = self.names.generator, images.get("flipped")
        given = images[self.names.real_source]
        fake = net(name, _flip(given, flipped), dropout_keys=images["noise"])
        scores = net(self.names.discriminator, fake)
        adversarial = losses.generator_adversarial(scores, self.gan_mode)
        terms = {name: self.gan * adversarial}
        if self.nce:
            terms["nce"] = self.nce * self._contrast(net, given, fake, flipped)
        if self.nce_identity:
            given = images[self.names.real_target]
            same = net(name, _flip(given, flipped))
            contrast = self._contrast(net, given, same, flipped)
            terms["nce_identity"] = self.nce_identity * contrast
        return sum(terms.values(), start=jnp.zeros(())), {}, terms

    def _contrast(self, net, given, translated, flipped):
        """c(given, translated) of the class's description."""
        encode = functools.partial(net, self.names.generator, features=self.layers)
        queries = [_flip(x, flipped) for x in encode(translated)]
        keys = encode(given)  # Without gradient: see `losses.patch_nce`.
        pixels = tuple(x.shape[1] * x.shape[2] for x in keys)
        places = projection.draw(net.keys(), pixels, self.patches)
        queries, keys = (
            net(self.names.projection, tuple(map(projection.take, features, places)))
            for features in (queries, keys)
        )
        contrast = functools.partial(losses.patch_nce, temperature=self.temperature)
        return sum(map(contrast, queries, keys)) / len(self.layers)


def _flip(x, flipped):
    """Mirrors some of [B, H, W, C] left to right."""
    if flipped is None:
        return x
    return jnp.where(flipped.reshape(-1, 1, 1, 1), x[:, :, ::-1], x)


def build(config: Any, axis_name: str | None) -> CUT:
    """Builds the method of a config; see `interface.Recipe`."""
    check_gan(config)
    if not config.generator.name.startswith("resnet_"):
        raise UserError(
            f"generator.name is {config.generator.name}, but method cut takes features"
            " from a ResNet: use resnet_9blocks or another number of blocks."
        )
    check_same_channels(config, "features")
    common = common_settings(config, axis_name)
    layers = _layers(config, common["generator"])
    return CUT(
        **common,
        projection=projection.PatchProjection(
            heads=len(layers),
            width=config.cut.width,
            init_type=config.generator.init_type,
            init_gain=config.generator.init_gain,
            dtype=jnp.dtype(config.compute_dtype),
        ),
        nce=config.loss.nce,
        nce_identity=config.loss.nce_identity,
        layers=layers,
        patches=config.cut.patches,
        temperature=config.cut.temperature,
        flip_equivariance=config.cut.flip_equivariance,
    )


def layers_of(config: Any) -> str:
    """Returns `cut.layers` without those that the generator of a config lacks."""
    count = common_settings(config, None)["generator"].encoder_layers
    numbers = map(int, re.findall(r"\d{1,4}", config.cut.layers))
    return ",".join(str(number) for number in numbers if number < count)


def _layers(config, generator):
    """Reads cut.layers, such as 0,4,8,12,16."""
    text, count = config.cut.layers, generator.encoder_layers
    numbers = tuple(int(part) for part in re.findall(r"\d{1,4}", text))
    if not numbers or text != ",".join(map(str, sorted(set(numbers)))):
        raise UserError(
            f"cut.layers is {text!r}; it must be rising numbers with commas between"
            " them, such as '0,4,8,12,16'."
        )
    if numbers[-1] >= count:
        raise UserError(
            f"cut.layers is {text!r}, but in {config.generator.name} with these"
            f" settings {count - 1} is the last layer before the way up."
        )
    return numbers
