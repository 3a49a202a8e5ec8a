"""Cezanne's paintings and photographs, 256x256 (Zhu et al. 2017, figures 10 and 11).

The identity loss keeps the colours of paintings turned into photographs.

    python train.py --config=configs/cezanne2photo.py

`configs/cezanne2photo.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/cezanne2photo"
    return default.variant_of(config, variant)
