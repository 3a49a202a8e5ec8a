"""CoGAN (Liu & Tuzel 2016): a row of tables 2 and 3.

    python train.py --config=configs/cogan.py                       # streets
    python train.py --config=configs/cogan.py:cityscapes --config.data.path=/data/...

The released networks for 128x128 faces with the weight sharing of those for digits,
trained as released: batch size 128, weight decay, 100,000 steps. Like the discriminator
for digits, ours has no norm: with batch norm it did not learn (docs/methods.md).
On `streets` and `emoji`: 64x64, half the width, batch size 16, 2,000 steps;
docs/results.md has scores after 1,000. `smoke` tests an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "cityscapes", "folder")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the released setting; variants are data and `smoke`."""
    data, smoke = variants.choose(variant, DATA, ("", "smoke"))
    config = variants.of_data(data)
    small = data in ("streets", "emoji")
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
    return variants.variant_of(config, smoke)
