"""What a generator makes of a few test images, as training goes on."""

import jax.numpy as jnp
import numpy as np
from etils import epath

from cyclegan_jax import data, files, images
from cyclegan_jax.core.state import TrainState, translate
from cyclegan_jax.runs.experiment import Experiment


class Sampler:
    """Translates the same few images at every call."""

    def __init__(self, experiment: Experiment, dataset: data.Dataset):
        """Loads the first `num_samples` test images of each domain.

        Where a domain has no test images, training images stand in.
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

    def grid(self, state: TrainState) -> np.ndarray:
        """Returns a picture: a row an image, a column a network's answer, with titles.

        Moving averages of the generators are used where the state has them.
        """

        def apply(direction, photos):
            return translate(state, self._method, direction, photos)

        real_a, real_b = self._photos["a"], self._photos["b"]
        columns = self._method.samples(apply, real_a, real_b)
        # One by one: `jax.device_get` would sort the titles.
        return images.sample_grid(
            {title: images.to_uint8(np.asarray(v)) for title, v in columns.items()}
        )


def save(workdir: epath.PathLike, step: int, grid: np.ndarray) -> None:
    """Writes a picture into a run's folder, as samples/step_<n>.png."""
    folder = epath.Path(workdir) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    files.save_png(folder / f"step_{step:08d}.png", grid)
