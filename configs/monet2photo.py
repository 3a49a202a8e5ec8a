"""Monet's paintings and photographs, 256x256 (Zhu et al. 2017, figures 9, 10 and 12).

Photo generation from paintings is the direction A to B: the identity loss keeps the
colours, which figure 9 shows (`--config.loss.identity=0` does without).

    python train.py --config=configs/monet2photo.py

`configs/monet2photo.py:smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cycle_gan/monet2photo"
    return default.variant_of(config, variant)
