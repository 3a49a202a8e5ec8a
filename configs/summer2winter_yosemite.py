"""Summer and winter in Yosemite, 256x256: season transfer (Zhu et al. 2017, figure 13).

An epoch is a pass over the larger of the two domains.

    python train.py --config=configs/summer2winter_yosemite.py

`configs/summer2winter_yosemite.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/summer2winter_yosemite"
    return default.variant_of(config, variant)
