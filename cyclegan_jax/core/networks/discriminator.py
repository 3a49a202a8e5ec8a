"""What discriminators have in common."""

from collections.abc import Callable
from typing import Any

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
    layer: Callable[..., Any], *, update: bool
) -> Callable[..., Any]:
    """Divides kernels by their largest singular value (Miyato et al. 2018).

    The value is estimated by one step of power iteration in every application, from a
    vector that is kept among the running statistics (collection `batch_stats`). The
    initial kernels are those without it.

    Args:
      layer: constructor of a layer with a name.
      update: whether an application moves the vector on, as in training.

    Returns:
      The same, of layers with normalised kernels.
    """

    def build(*args, **options):
        plain = layer(*args, **options)
        normalised = nn.SpectralNorm(plain, name=f"{options['name']}_spectral")

        def apply(x):
            if not plain.is_initializing():
                return normalised(x, update_stats=update)
            plain(x)
            initial = dict(plain.variables["params"])
            y = normalised(x, update_stats=False)
            for key, value in initial.items():  # Flax has stored them normalised.
                plain.put_variable("params", key, value)
            return y

        return apply

    return build
