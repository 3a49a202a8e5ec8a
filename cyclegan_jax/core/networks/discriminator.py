"""What all discriminators have, besides their layers."""

from flax import linen as nn

from cyclegan_jax.core.augmentation import Augmentation


class Discriminator(nn.Module):
    """Base of discriminators; the losses heed its attributes, no layer does.

    Attributes:
      augmentation: of all images that it sees in training (`methods.phases.Networks`
        applies it), or None.
      monitored: whether signs that it overfits are logged (`methods.adversarial`).
    """

    augmentation: Augmentation | None = None
    monitored: bool = False
