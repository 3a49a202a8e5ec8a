"""pix2pix (Isola et al. 2017): the paired upper bound of tables 2 and 3.

    python train.py --config=configs/pix2pix.py                     # streets in pairs
    python train.py --config=configs/pix2pix.py:facades+BtoA        # labels to photos
    python train.py --config=configs/pix2pix.py:maps
    python train.py --config=configs/pix2pix.py:cityscapes --config.data.path=/data/...

As published: a U-Net with batch norm and dropout, cross entropy + 100 L1, no pool;
dropout and the statistics of the single image at test time, too. Image size and number
of steps are those of the data set's config. `folder` and `side_by_side` train on your
own pairs. docs/results.md has scores on `streets` and `emoji`. `smoke` tests an
installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "facades", "maps", "cityscapes", "folder", "side_by_side")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting; variants are data, direction and `smoke`."""
    data, direction, smoke = variants.choose(
        variant, DATA, ("AtoB", "BtoA"), ("", "smoke")
    )
    config = variants.of_data("folder" if data == "side_by_side" else data, direction)
    if data == "side_by_side":
        config.data.dataset = data
    config.method = "pix2pix"
    config.data.paired = True
    config.generator.name = f"unet_{config.data.crop_size}"
    config.generator.norm = config.discriminator.norm = "batch"
    config.generator.dropout = True
    config.loss.gan_mode = "vanilla"
    config.pool_size = 0
    return variants.variant_of(config, smoke)
