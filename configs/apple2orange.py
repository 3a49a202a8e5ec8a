"""Apples and oranges, 256x256: object transfiguration (Zhu et al. 2017, figure 13).

    python train.py --config=configs/apple2orange.py

200 epochs of 1,019 steps at batch size 1, 203,800 steps in total, as published: 20 days
on two CPU cores. docs/results.md has what to expect. It has not been run at full length
here. Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/apple2orange"
    return variants.variant_of(config, variant)
