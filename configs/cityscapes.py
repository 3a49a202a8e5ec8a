"""Cityscapes photographs and label maps, 128x128 (Zhu et al. 2017, tables 2 to 5).

Cityscapes may not be redistributed: prepare a local copy as the authors describe
(trainA = photographs, trainB = labels, testA, testB) and pass its folder:

    python train.py --config=configs/cityscapes.py --config.data.path=/data/cityscapes

As in the paper, images of 128x128, 6 residual blocks, no use of the pairs, and no
identity loss, which the paper uses for paintings only. With the 2,975 training images,
200 epochs are 595,000 steps, 12 days on two CPU cores. The paper's scores, labels to
photo, are 0.52 per pixel, 0.17 per class, and an IoU of 0.11; photo to labels 0.58,
0.22 and 0.16. It has not been run at full length here.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "cityscapes"
    config.data.load_size, config.data.crop_size = 143, 128
    config.generator.name = "resnet_6blocks"
    config.loss.identity = 0.0
    return variants.variant_of(config, variant)
