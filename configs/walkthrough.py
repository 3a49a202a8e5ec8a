"""CycleGAN on horses and zebras, 256x256, as in a TensorFlow tutorial.

    python train.py --config=configs/walkthrough.py

Six residual blocks with zero padding; cross entropy on logits, halved for the
discriminators; no pool; 10 epochs (13,340 steps) at a constant learning rate. In the
tutorial each generator has a separate loss with both cycle terms, which does not update
the other generator: term for term, its gradients are those of our joint loss. Not run
at full length here. `smoke` tests an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the setting of the walk-through, or the tiny one for "smoke"."""
    config = variants.of_data("horse2zebra")
    config.generator.name = "resnet_6blocks"
    config.generator.reflect = False
    config.loss.gan_mode = "vanilla"
    config.pool_size = 0
    config.optimizer.policy = "constant"
    config.optimizer.constant_epochs, config.optimizer.decay_epochs = 10, 0
    return variants.variant_of(config, variant)
