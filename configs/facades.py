"""Facades and their label maps, 256x256 (Zhu et al. 2017, figure 8).

Trained without using the pairs, which the test split keeps for evaluation;
`configs/pix2pix.py:facades` trains on pairs.

    python train.py --config=configs/facades.py

200 epochs of 400 steps at batch size 1, 80,000 steps in total, as published: 8 days on
two CPU cores. The authors' weights have an FID of 124 (docs/results.md). It has not
been run at full length here. Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/facades"
    return variants.variant_of(config, variant)
