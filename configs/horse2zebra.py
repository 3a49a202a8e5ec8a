"""Horses and zebras, 256x256: object transfiguration (Zhu et al. 2017, figure 13).

An epoch has 1334 steps, the whole run 266,800.

    python train.py --config=configs/horse2zebra.py

`configs/horse2zebra.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/horse2zebra"
    return default.variant_of(config, variant)
