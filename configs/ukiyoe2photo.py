"""Ukiyo-e prints and photographs, 256x256 (Zhu et al. 2017, figures 10 and 11).

The identity loss preserves colours when prints are turned into photographs.

    python train.py --config=configs/ukiyoe2photo.py

200 epochs of 6,287 steps at batch size 1, 1,257,400 steps in total, as published: 126
days on two CPU cores. docs/results.md has what to expect. It has not been run at full
length here. Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/ukiyoe2photo"
    return variants.variant_of(config, variant)
