"""From a config to a training method: one function each."""

import dataclasses
import re

import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import networks
from cyclegan_jax.core.methods.bigan import BiGAN
from cyclegan_jax.core.methods.cogan import CoGAN
from cyclegan_jax.core.methods.content_gan import LUA_GRADIENT, ContentGAN
from cyclegan_jax.core.methods.cyclegan import CycleGAN, LossWeights
from cyclegan_jax.core.methods.pix2pix import Pix2Pix
from cyclegan_jax.core.networks import vgg
from cyclegan_jax.errors import UserError


def _generator(config, axis_name, channels) -> nn.Module:
    return networks.generator(
        **config.generator,
        **_common(config, axis_name),
        channels=channels,
        remat=config.remat,
    )


def _discriminator(config, axis_name) -> nn.Module:
    return networks.discriminator(**config.discriminator, **_common(config, axis_name))


def _common(config, axis_name):
    return {"dtype": jnp.dtype(config.compute_dtype), "axis_name": axis_name}


def _cyclegan(config, axis_name):
    d = config.data
    return CycleGAN(
        generator_ab=_generator(config, axis_name, d.channels_b),
        generator_ba=_generator(config, axis_name, d.channels_a),
        discriminator_a=_discriminator(config, axis_name),
        discriminator_b=_discriminator(config, axis_name),
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        weights=_cyclegan_weights(config),
        gan_mode=config.loss.gan_mode,
    )


def _cyclegan_weights(config):
    names = [field.name for field in dataclasses.fields(LossWeights)]
    weights = {name: config.loss[name] for name in names}
    if config.data.channels_a != config.data.channels_b:
        # A generator cannot take images of its own output domain.
        weights["identity"] = 0.0
    if not (weights["gan"] or weights["cycle_a"] or weights["cycle_b"]):
        raise UserError(
            "loss.gan, loss.cycle_a and loss.cycle_b are all 0: nothing to train."
        )
    return LossWeights(**weights)


def _needs_gan(config):
    if not config.loss.gan:
        raise UserError(
            f"loss.gan is 0, but method {config.method} is nothing without it."
        )


def _one_way(config, axis_name):
    """What methods with one direction have in common."""
    channels = [config.data.channels_a, config.data.channels_b]
    if config.direction == "BtoA":
        channels.reverse()
    return {
        "generator": _generator(config, axis_name, channels[1]),
        "discriminator": _discriminator(config, axis_name),
        "direction": config.direction,
        "channels_in": channels[0],
        "channels_out": channels[1],
        "gan": config.loss.gan,
        "gan_mode": config.loss.gan_mode,
        "gradient_penalty": config.loss.gradient_penalty,
    }


def _pix2pix(config, axis_name):
    if not (config.loss.gan or config.loss.l1):
        raise UserError("loss.gan and loss.l1 are both 0: nothing to train.")
    return Pix2Pix(
        **_one_way(config, axis_name),
        l1=config.loss.l1,
        test_dropout=config.test_dropout,
        test_statistics=config.test_statistics,
    )


def _simgan(config, axis_name):
    _needs_gan(config)
    a, b = config.data.channels_a, config.data.channels_b
    if a != b:
        raise UserError(
            "method simgan compares the pixels of input and output, which needs"
            f" data.channels_a ({a}) and data.channels_b ({b}) to be the same."
        )
    return ContentGAN(**_one_way(config, axis_name), content=config.loss.content)


def _feature_gan(config, axis_name):
    _needs_gan(config)
    loss, d = config.loss, config.data
    if {d.channels_a, d.channels_b} - {1, 3}:
        raise UserError(
            "method feature_gan can compare images of 1 or 3 channels, not"
            f" {d.channels_a} (A) and {d.channels_b} (B)."
        )
    if not loss.vgg:
        raise UserError(
            "method feature_gan needs the weights of VGG-16: set config.loss.vgg to"
            f" the file that {vgg.URL} gives, or to 'random' to do without."
        )
    dtype = jnp.dtype(config.compute_dtype)
    return ContentGAN(
        **_one_way(config, axis_name),
        content=loss.content,
        features=vgg.VGG16(size=loss.vgg_size, dtype=dtype),
        feature_gradient=LUA_GRADIENT if loss.vgg_lua_gradient else 1.0,
    )


def _bigan(config, axis_name):
    _needs_gan(config)
    d = config.data
    return BiGAN(
        generator_ab=_generator(config, axis_name, d.channels_b),
        generator_ba=_generator(config, axis_name, d.channels_a),
        discriminator=_discriminator(config, axis_name),
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        gan_mode=config.loss.gan_mode,
        gradient_penalty=config.loss.gradient_penalty,
    )


def _cogan(config, axis_name):
    _needs_gan(config)
    d, norms = config.data, {config.generator.norm, config.discriminator.norm}
    match = re.fullmatch(r"coupled_(\d+)", config.generator.name)
    size = int(match[1]) if match else 0
    if size < 8 or size & (size - 1) or config.discriminator.name != "coupled":
        raise UserError(
            "method cogan has networks of its own: generator.name is coupled_<size>"
            " with a power of two, such as coupled_128, and discriminator.name coupled."
        )
    if d.preprocess != "resize_and_crop" or d.crop_size != size:
        raise UserError(  # Test images are to have that size, too.
            f"generator {config.generator.name} draws {size}x{size} images: set"
            f" data.crop_size={size} (it is {d.crop_size}) and"
            " data.preprocess='resize_and_crop'."
        )
    if norms - {"batch", "none"}:
        raise UserError("method cogan needs norm batch (as published) or none.")
    if config.loss.gan_mode == "wgangp":
        raise UserError(
            "method cogan has no gradient penalty: choose another gan_mode."
        )
    common = _common(config, axis_name)
    settings = {key: config.generator[key] for key in _COUPLED}
    judge_settings = {key: config.discriminator[key] for key in _COUPLED}
    return CoGAN(
        generator=networks.CoupledGenerator(
            size=size,
            channels_a=d.channels_a,
            channels_b=d.channels_b,
            **settings,
            **common,
        ),
        discriminator=networks.CoupledDiscriminator(**judge_settings, **common),
        latent_size=config.cogan.latent_size,
        inversion_steps=config.cogan.inversion_steps,
        inversion_rate=config.cogan.inversion_rate,
        gan_mode=config.loss.gan_mode,
    )


_COUPLED = ("width", "norm", "init_type", "init_gain")
METHODS = {
    "cyclegan": _cyclegan,
    "pix2pix": _pix2pix,
    "simgan": _simgan,
    "feature_gan": _feature_gan,
    "bigan": _bigan,
    "cogan": _cogan,
}
