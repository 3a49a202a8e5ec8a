"""The methods by name: the choices of `config.method`."""

from cyclegan_jax.core.methods import (
    bigan,
    cogan,
    content_gan,
    cut,
    cyclegan,
    pix2pix,
)
from cyclegan_jax.core.methods.interface import Recipe

METHODS = {
    "cyclegan": Recipe(cyclegan.build, cyclegan.pretrained),
    "pix2pix": Recipe(pix2pix.build),
    "simgan": Recipe(content_gan.build_simgan),
    "feature_gan": Recipe(
        content_gan.build_feature_gan, content_gan.pretrained_features
    ),
    "bigan": Recipe(bigan.build),
    "cogan": Recipe(cogan.build),
    "cut": Recipe(cut.build),
}
