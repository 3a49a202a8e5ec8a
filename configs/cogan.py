"""CoGAN (Liu & Tuzel 2016): a row of tables 2 and 3.

    python train.py --config=configs/cogan.py                       # streets
    python train.py --config=configs/cogan.py:cityscapes --config.data.path=/data/...

The networks of the released code for 128x128 images with the coupling of its digits,
trained as released: batches of 128, weight decay, 100,000 steps. Like the discriminator
for digits, ours has no norm: with batch norms it learned nothing (docs/methods.md).
On streets everything is smaller: 64x64, half the width, batches of 16, 2,000 steps.
`smoke` tries an installation in seconds.
"""

import ml_collections

from configs import default

DATA = ("streets", "cityscapes", "folder")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the released setting; variants are data and `smoke`."""
    data, smoke = default.choose(variant, DATA, ("", "smoke"))
    config = default.of_data(data)
    small = data == "streets"
    config.method = "cogan"
    config.batch_size = 16 if small else 128
    config.max_steps = 2_000 if small else 100_000
    config.generator.name = f"coupled_{config.data.crop_size}"
    config.discriminator.name = "coupled"
    config.generator.width = config.discriminator.width = 16 if small else 32
    config.generator.norm, config.discriminator.norm = "batch", "none"
    config.loss.gan_mode = "vanilla"
    config.optimizer.policy = "constant"
    config.optimizer.constant_epochs = 10**6  # `max_steps` ends the run.
    config.optimizer.decay_epochs = 0
    config.optimizer.weight_decay = 1e-4
    return default.variant_of(config, smoke)
