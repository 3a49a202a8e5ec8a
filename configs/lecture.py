"""CycleGAN on horses and zebras, 256x256, as taught in a lecture.

    python train.py --config=configs/lecture.py

7x7 convolutions at both ends of the generators and at the start of the discriminators,
4x4 down-sampling convolutions, nine residual blocks; discriminators that end in a 1x1
convolution, with 32x32 scores for 256x256 pixels; an identity loss of weight 0.1,
independent of the cycle's. Steps as in `horse2zebra.py`; not run at full length here.
`smoke` tests an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the setting of the lecture, or the tiny one for "smoke"."""
    config = variants.of_data("horse2zebra")
    config.generator.name = "resnet_9blocks"
    config.generator.outer_kernel = 7
    config.generator.down_kernel = 4
    config.discriminator.stem_kernel = 7
    config.discriminator.score_kernel = 1
    config.loss.identity = 0.1 / config.loss.cycle_a  # A fraction of the cycle weight.
    return variants.variant_of(config, variant)
