"""Aerial photographs and maps, 256x256 (Zhu et al. 2017, table 1 and figure 6).

Trained without using the pairs, which the test split keeps for evaluation;
`configs/pix2pix.py:maps` trains on pairs.

    python train.py --config=configs/maps.py

200 epochs of 1,096 steps at batch size 1, 219,200 steps in total, as published: 22 days
on two CPU cores. In the paper 27 % of its photographs and 23 % of its maps were taken
for real. It has not been run at full length here. Append `:smoke` to test an
installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/maps"
    return variants.variant_of(config, variant)
