"""Networks by name, as the configs and the published code name them."""

import dataclasses
import re
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from cyclegan_jax.core import losses
from cyclegan_jax.core.augmentation import Augmentation
from cyclegan_jax.core.networks import layers, norms
from cyclegan_jax.core.networks.patchgan import (
    PatchDiscriminator,
    PixelDiscriminator,
)
from cyclegan_jax.core.networks.resnet import ResNetGenerator
from cyclegan_jax.core.networks.unet import UNetGenerator
from cyclegan_jax.errors import UserError

_GENERATORS = (ResNetGenerator, UNetGenerator)
_DISCRIMINATORS = (PatchDiscriminator, PixelDiscriminator)
_CHOICES = {
    "norm": norms.NORMS,
    "init_type": layers.INITS,
    "outer_kernel": (3, 5, 7, 9),
    "down_kernel": (3, 4),
    "stem_kernel": (0, 3, 5, 7, 9),
    "score_kernel": (1, 4),
}


def generator(name: str, **settings) -> nn.Module:
    """Builds the generator of that name.

    Args:
      name: `resnet_9blocks`, `resnet_6blocks` or any other number of blocks;
        `unet_256`, `unet_128` or any other power of two: the smallest image.
      **settings: attributes of `ResNetGenerator` or `UNetGenerator`.

    Raises:
      UserError: the name or a setting is not known.
    """
    module: type[nn.Module]
    if match := re.fullmatch(r"resnet_(\d+)blocks", name):
        module, settings = ResNetGenerator, {"blocks": int(match[1]), **settings}
    elif match := re.fullmatch(r"unet_(\d+)", name):
        size = int(match[1])
        downs = size.bit_length() - 1
        if size != 2**downs or downs < 2:
            raise UserError(
                f"generator name {name!r}: the number must be a power of two from 4 on,"
                " like unet_128 or unet_256."
            )
        module, settings = UNetGenerator, {"downs": downs, **settings}
    else:
        raise UserError(
            f"generator name {name!r} is not known; use resnet_<n>blocks (9 and 6 are"
            " published) or unet_<size> (256 and 128 are published)."
        )
    return _build(module, _GENERATORS, name, settings)


def discriminator(name: str, **settings) -> nn.Module:
    """Builds the discriminator of that name.

    Args:
      name: `basic` (70x70 patches), `n_layers` (with that setting) or `pixel`.
      **settings: attributes of `PatchDiscriminator` or `PixelDiscriminator`.

    Raises:
      UserError: the name or a setting is not known.
    """
    module: type[nn.Module]
    if name == "basic":
        module, settings = PatchDiscriminator, {**settings, "n_layers": 3}
    elif name == "n_layers":
        module = PatchDiscriminator
        if not 1 <= settings.get("n_layers", 3) <= 6:
            raise UserError(
                f"discriminator n_layers must be 1 to 6, not {settings['n_layers']}."
            )
    elif name == "pixel":
        module = PixelDiscriminator
        settings.pop("n_layers", None)
    else:
        raise UserError(
            f"discriminator name {name!r} is not known; use basic, n_layers or pixel."
        )
    return _build(module, _DISCRIMINATORS, name, settings)


def generator_of(config: Any, channels: int, axis_name: str | None) -> nn.Module:
    """Builds the generator of a config.

    Args:
      config: of a run.
      channels: of its output images.
      axis_name: see `norms.BatchNorm`.

    Raises:
      UserError: the name or a setting is not known.
    """
    settings = {**config.generator, "channels": channels, "remat": config.remat}
    return generator(**settings, **computation(config, axis_name))


def discriminator_of(
    config: Any, axis_name: str | None, channels: tuple[int, ...] = ()
) -> nn.Module:
    """Builds the discriminator of a config; as `generator_of`.

    Args:
      config: of a run.
      axis_name: see `norms.BatchNorm`.
      channels: of each picture, if it sees several at once; see `Augmentation`.

    Raises:
      UserError: the name or a setting is not known.
    """
    own = ("augment", "monitor")
    settings = {k: v for k, v in config.discriminator.items() if k not in own}
    settings |= observation(config, channels)
    return discriminator(**settings, **computation(config, axis_name))


def observation(config: Any, channels: tuple[int, ...] = ()) -> dict[str, Any]:
    """Returns the attributes of `Discriminator`, from a config.

    Args:
      config: of a run.
      channels: see `discriminator_of`.

    Raises:
      UserError: a policy is not known, or there is nothing to augment or to monitor.
    """
    d, loss = config.discriminator, config.loss
    for name in ("augment", "monitor"):
        if d[name] and not loss.gan:
            raise UserError(
                f"discriminator.{name} is {d[name]!r}, but loss.gan is 0: there is no"
                " discriminator."
            )
    if d.monitor and losses.GAN_LOSSES[loss.gan_mode].undecided is None:
        known = [k for k, v in losses.GAN_LOSSES.items() if v.undecided is not None]
        raise UserError(
            f"discriminator.monitor needs scores of which a sign says real or"
            f" generated; loss.gan_mode={loss.gan_mode} has none:"
            f" use {', '.join(known)}, or monitor=False."
        )
    augmentation = Augmentation.of(d.augment, channels)
    return {"augmentation": augmentation, "monitored": d.monitor}


def computation(config: Any, axis_name: str | None) -> dict[str, Any]:
    """Returns what all networks are computed with: the dtype and the mapped axis."""
    return {"dtype": jnp.dtype(config.compute_dtype), "axis_name": axis_name}


def _build(module, family, name, settings):
    for key, known in _CHOICES.items():
        if key in settings and settings[key] not in known:
            raise UserError(
                f"{key} {settings[key]!r} of network {name} is not known;"
                f" use one of {', '.join(map(str, known))}."
            )
    for key in set(settings) - set(_defaults(module)):
        # A config has the settings of all networks: those of others must be untouched.
        defaults = [d[key] for d in map(_defaults, family) if key in d]
        if not defaults:
            raise UserError(f"network {name} has no setting {key}.")
        if settings.pop(key) not in defaults:
            raise UserError(f"{key} is a setting of other networks; {name} has none.")
    return module(**settings)


def _defaults(module):
    return {field.name: field.default for field in dataclasses.fields(module)}
