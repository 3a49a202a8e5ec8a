"""Pixel loss + GAN, after SimGAN (Shrivastava et al. 2017): a row of tables 2 and 3.

    python train.py --config=configs/simgan.py                      # streets
    python train.py --config=configs/simgan.py:cityscapes --config.data.path=/data/...

Networks, image size and number of steps are those of CycleGAN on the same data, at a
constant learning rate, as in the released code. `BtoA` chooses the other direction.
docs/results.md has scores on `streets` and `emoji`. `smoke` tests an installation in
seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "cityscapes", "facades", "maps", "folder")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting; variants are data, direction and `smoke`."""
    data, direction, smoke = variants.choose(
        variant, DATA, ("AtoB", "BtoA"), ("", "smoke")
    )
    config = variants.of_data(data, direction)
    config.method = "simgan"
    config.optimizer.policy = "constant"
    return variants.variant_of(config, smoke)
