"""Aerial photographs and maps, 256x256 (Zhu et al. 2017, table 1 and figure 6).

Trained without the pairs, which the test split keeps; `configs/pix2pix.py:maps` trains
with them.

    python train.py --config=configs/maps.py

`configs/maps.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/maps"
    return default.variant_of(config, variant)
