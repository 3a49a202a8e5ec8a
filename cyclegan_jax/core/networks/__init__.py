"""Networks by name, as the configs and the published code name them."""

import re

from flax import linen as nn

from cyclegan_jax.core.networks import layers
from cyclegan_jax.core.networks.coupled import (
    CoupledDiscriminator,
    CoupledGenerator,
)
from cyclegan_jax.core.networks.patchgan import (
    PatchDiscriminator,
    PixelDiscriminator,
)
from cyclegan_jax.core.networks.resnet import ResNetGenerator
from cyclegan_jax.core.networks.unet import UNetGenerator
from cyclegan_jax.errors import UserError


def generator(name: str, **settings) -> nn.Module:
    """Builds the generator of that name.

    Args:
      name: `resnet_9blocks`, `resnet_6blocks` or any other number of blocks;
        `unet_256`, `unet_128` or any other power of two: the smallest image.
      **settings: attributes of `ResNetGenerator` or `UNetGenerator`.

    Raises:
      UserError: the name or a setting is not known.
    """
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
        settings = _without(ResNetGenerator, _RESNET, settings, "a U-Net")
        module, settings = UNetGenerator, {"downs": downs, **settings}
    else:
        raise UserError(
            f"generator name {name!r} is not known; use resnet_<n>blocks (9 and 6 are"
            " published) or unet_<size> (256 and 128 are published)."
        )
    return _build(module, name, settings)


def discriminator(name: str, **settings) -> nn.Module:
    """Builds the discriminator of that name.

    Args:
      name: `basic` (70x70 patches), `n_layers` (with that setting) or `pixel`.
      **settings: attributes of `PatchDiscriminator` or `PixelDiscriminator`.

    Raises:
      UserError: the name or a setting is not known.
    """
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
        settings = _without(PatchDiscriminator, _PATCH, settings, "network pixel")
    else:
        raise UserError(
            f"discriminator name {name!r} is not known; use basic, n_layers or pixel."
        )
    return _build(module, name, settings)


_KNOWN = {
    "norm": layers.NORMS,
    "init_type": layers.INITS,
    "outer_kernel": (3, 5, 7, 9),
    "down_kernel": (3, 4),
    "stem_kernel": (0, 3, 5, 7, 9),
    "score_kernel": (1, 4),
}
_RESNET = ("remat", "reflect", "outer_kernel", "down_kernel")
_PATCH = ("stem_kernel", "score_kernel")


def _without(other, names, settings, what):
    """Takes out settings that only another network has, if they are its defaults."""
    for name in names:
        if settings.get(name, getattr(other, name)) != getattr(other, name):
            raise UserError(f"{name} is a setting of other networks; {what} has none.")
    return {key: value for key, value in settings.items() if key not in names}


def _build(module, name, settings):
    for key, known in _KNOWN.items():
        if key in settings and settings[key] not in known:
            raise UserError(
                f"{key} {settings[key]!r} of network {name} is not known;"
                f" use one of {', '.join(map(str, known))}."
            )
    return module(**settings)


__all__ = [
    "CoupledDiscriminator",
    "CoupledGenerator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResNetGenerator",
    "UNetGenerator",
    "discriminator",
    "generator",
]
