"""Sample grids: translations of a few test images, during training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from cyclegan_jax import data, files, images
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.state import TrainState, translate
from cyclegan_jax.directions import DIRECTIONS, domains, other
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.experiment import Experiment


class Sampler:
    """Translates the same few images at every call."""

    def __init__(self, experiment: Experiment, dataset: data.Dataset):
        """Loads the first `num_samples` test images of each domain.

        If a domain has no test images, training images are used.
        """
        prepare = data.test_transform(experiment.preprocess)
        count = experiment.config.num_samples
        self._method = experiment.method
        self._photos = {}
        for domain in "ab":
            test = getattr(dataset, f"test_{domain}")
            source = test if len(test) else getattr(dataset, f"train_{domain}")
            indices = range(min(count, len(source)))
            photos = [prepare(source[i], source.names[i]) for i in indices]
            same = [photo for photo in photos if photo.shape == photos[0].shape]
            self._photos[domain] = jnp.asarray(images.to_float(np.stack(same)))

    def columns(self, state: TrainState) -> dict[str, np.ndarray]:
        """Returns the `columns` of a sample grid: title -> uint8 [N, H, W, C].

        Moving averages of the generators are used where the state has them. One device
        computes it: its bits do not depend on how many there are.

        Args:
          state: replicated over devices.
        """
        state = jax.tree.map(lambda x: x.addressable_data(0), state)

        def apply(direction, photos):
            return translate(state, self._method, direction, photos)

        real_a, real_b = self._photos["a"], self._photos["b"]
        translated = columns(self._method, apply, real_a, real_b)
        # One at a time: `jax.device_get` would sort the titles.
        return {x: images.to_uint8(np.asarray(v)) for x, v in translated.items()}


def columns(
    method: Method,
    translate: Callable[[str, jax.Array], jax.Array],
    real_a: jax.Array,
    real_b: jax.Array,
) -> dict[str, jax.Array]:
    """Returns the columns of a sample grid: title -> images.

    For each direction, real images and their translations; where both directions are
    plain passes of a generator, also the cycle back and, if the domains have equally
    many channels, the identity mapping. Real images of the target come last where
    there is one direction.

    Args:
      method: see `methods.interface`.
      translate: (direction, images) -> images.
      real_a: images of A, [N, H, W, C] in [-1, 1].
      real_b: images of B; pairs of the above, if the method is paired.
    """
    real = {"a": real_a, "b": real_b}
    titled: dict[str, jax.Array] = {}
    translations = method.translations
    cycles = all(
        direction in translations and translations[direction].generator is not None
        for direction in DIRECTIONS
    )
    for direction in sorted(translations):
        source, target = domains(direction)
        x, name = real[source], source.upper()
        fake = translate(direction, x)
        titled |= dict(zip(titles(direction), (x, fake), strict=True))
        if cycles:
            titled[f"cycle {name}"] = translate(other(direction), fake)
        if cycles and real_a.shape[-1] == real_b.shape[-1]:
            titled[f"identity {name}"] = translate(other(direction), x)
    if len(translations) == 1:
        titled[f"real {target.upper()}"] = real[target]
    return titled


def titles(direction: str) -> tuple[str, str]:
    """Returns the titles of a direction's inputs and translations in a grid."""
    source, target = (domain.upper() for domain in domains(direction))
    return f"real {source}", f"{source} to {target}"


def save(workdir: epath.PathLike, name: str, grid: np.ndarray) -> str:
    """Writes a picture into a run's folder; returns its path from there."""
    folder = storage.locate(workdir) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    files.save_png(folder / f"{name}.png", grid)
    return f"samples/{name}.png"
