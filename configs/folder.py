"""Your own images, 256x256: a folder with trainA, trainB, testA and testB.

    python train.py --config=configs/folder.py --config.data.path=/data/my_set

or one folder of images per domain:

    python train.py --config=configs/folder.py --config.data.train_a=/data/cats \\
        --config.data.train_b=/data/dogs

200 epochs at batch size 1, each as long as the larger domain, as published. It has not
been run at full length here. Append `:smoke` to test an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "folder"
    return variants.variant_of(config, variant)
