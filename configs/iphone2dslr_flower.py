"""Flowers by phone and by camera, 256x256: enhancement (Zhu et al. 2017, figure 14).

An epoch is a pass over the larger of the two domains.

    python train.py --config=configs/iphone2dslr_flower.py

`configs/iphone2dslr_flower.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/iphone2dslr_flower"
    return default.variant_of(config, variant)
