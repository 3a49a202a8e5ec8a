"""Street photographs and their labels at 128x128 (Zhu et al. 2017, tables 2 to 5).

Cityscapes may not be redistributed: put a local copy, prepared as the authors describe
(trainA = photographs, trainB = labels, testA, testB), into a folder and name it:

    python train.py --config=configs/cityscapes.py --config.data.path=/data/cityscapes

The paper trains 128x128 images with 6 residual blocks and without the pairs. Its tables
add up adversarial and cycle losses; the identity loss came in for paintings only.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = default.get_config()
    config.data.dataset = "cityscapes"
    config.data.load_size, config.data.crop_size = 143, 128
    config.generator.name = "resnet_6blocks"
    config.loss.identity = 0.0
    return default.variant_of(config, variant)
