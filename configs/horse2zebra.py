"""Horses and zebras, 256x256: object transfiguration (Zhu et al. 2017, figure 13).

    python train.py --config=configs/horse2zebra.py

200 epochs of 1,334 steps at batch size 1, 266,800 steps in total, as published: 27 days
on two CPU cores. The authors' weights have an FID of 62 (to zebras) and 139 (to horses;
docs/results.md, which has short runs, too). It has not been run at full length here.
Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/horse2zebra"
    return variants.variant_of(config, variant)
