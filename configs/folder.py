"""Your own images: a folder with trainA, trainB, testA and testB, 256x256.

    python train.py --config=configs/folder.py --config.data.path=/data/my_set

or any folders of images:

    python train.py --config=configs/folder.py --config.data.train_a=/data/cats \\
        --config.data.train_b=/data/dogs
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "folder"
    return default.variant_of(config, variant)
