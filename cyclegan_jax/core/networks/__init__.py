"""Generators and discriminators, as Flax modules."""

from cyclegan_jax.core.networks.configured import discriminator, generator
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
