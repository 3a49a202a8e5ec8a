"""BiGAN (Donahue et al. 2017) and ALI (Dumoulin et al. 2017): a row of tables 2 and 3.

    python train.py --config=configs/bigan.py                       # streets
    python train.py --config=configs/bigan.py:cityscapes --config.data.path=/data/...

Networks, image size and number of steps are those of CycleGAN on the same data.
docs/results.md has scores on `streets` and `emoji`. `smoke` tests an installation in
seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "cityscapes", "facades", "maps", "folder")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting; variants are data and `smoke`."""
    data, smoke = variants.choose(variant, DATA, ("", "smoke"))
    config = variants.of_data(data)
    config.method = "bigan"
    return variants.variant_of(config, smoke)
