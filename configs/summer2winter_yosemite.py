"""Summer and winter in Yosemite, 256x256: season transfer (Zhu et al. 2017, figure 13).

    python train.py --config=configs/summer2winter_yosemite.py

200 epochs of 1,231 steps at batch size 1, 246,200 steps in total, as published: 25 days
on two CPU cores. The authors' weights have an FID of 77 (to winter) and 73 (to summer;
docs/results.md). It has not been run at full length here. Append `:smoke` to test an
installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cycle_gan/summer2winter_yosemite"
    return variants.variant_of(config, variant)
