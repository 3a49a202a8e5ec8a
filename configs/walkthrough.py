"""CycleGAN as a TensorFlow walk-through teaches it, on horses and zebras.

    python train.py --config=configs/walkthrough.py

Six residual blocks with zero padding; cross entropy on logits, halved for the
discriminators, no pool; 10 epochs at a constant learning rate. There, every generator
has a loss of its own that holds both cycle terms, and the other generator is not
updated by it: these are the gradients of the joint loss here, term for term. `smoke`
tries an installation in seconds.
"""

import ml_collections

from configs import default


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the setting of the walk-through, or the tiny one for "smoke"."""
    config = default.of_data("horse2zebra")
    config.generator.name = "resnet_6blocks"
    config.generator.reflect = False
    config.loss.gan_mode = "vanilla"
    config.pool_size = 0
    config.optimizer.policy = "constant"
    config.optimizer.constant_epochs, config.optimizer.decay_epochs = 10, 0
    return default.variant_of(config, variant)
