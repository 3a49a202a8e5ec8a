"""Flowers by phone and by camera, 256x256: enhancement (Zhu et al. 2017, figure 14).

    python train.py --config=configs/iphone2dslr_flower.py

200 epochs of 3,325 steps at batch size 1, 665,000 steps in total, as published: 67 days
on two CPU cores. docs/results.md has what to expect. It has not been run at full length
here. Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/iphone2dslr_flower"
    return variants.variant_of(config, variant)
