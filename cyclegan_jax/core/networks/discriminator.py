"""What discriminators have in common."""

import functools
from collections.abc import Callable

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


def spectrally_normalised(
    layer: Callable[..., nn.Module], *, update: bool
) -> Callable[..., Callable]:
    """Divides kernels by their largest singular value (Miyato et al. 2018).

    The value is estimated by one step of power iteration in every application, from a
    vector that is kept among the running statistics (collection `batch_stats`).

    Args:
      layer: constructor of a layer with a name.
      update: whether an application moves the vector on, as in training.

    Returns:
      The same, of layers with normalised kernels.
    """

    def build(*args, **options):
        normalised = nn.SpectralNorm(
            layer(*args, **options), name=f"{options['name']}_spectral"
        )
        return functools.partial(normalised, update_stats=update)

    return build
