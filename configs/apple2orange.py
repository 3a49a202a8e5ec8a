"""Apples and oranges, 256x256: object transfiguration (Zhu et al. 2017, figure 13).

An epoch is a pass over the larger of the two domains.

    python train.py --config=configs/apple2orange.py

`configs/apple2orange.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/apple2orange"
    return default.variant_of(config, variant)
