"""What a generator makes of a few test images, as training goes on."""

import functools
from typing import Any

import jax
import numpy as np
from etils import epath

from cyclegan_jax import data, images, steps


class Sampler:
    """Translates the same few images at every call."""

    def __init__(
        self, method: Any, dataset: data.Dataset, transform: data.Preprocess, count: int
    ):
        """Loads the first `count` test images of each domain.

        Where a domain has no test images, training images stand in.
        """
        prepare = data.test_transform(transform)
        self._method = method
        self._photos = {}
        for domain in "ab":
            test = getattr(dataset, f"test_{domain}")
            source = test if len(test) else getattr(dataset, f"train_{domain}")
            indices = range(min(count, len(source)))
            photos = [prepare(source[i], source.names[i]) for i in indices]
            same = [photo for photo in photos if photo.shape == photos[0].shape]
            self._photos[domain] = images.to_float(np.stack(same))

    def grid(self, state: steps.TrainState) -> np.ndarray:
        """Returns a picture: a row an image, a column a network's answer, with titles.

        Moving averages of the generators are used where the state has them.
        """
        values = jax.device_get(self._translations(state))
        columns = zip(self._titles, values, strict=True)
        return images.sample_grid({k: images.to_uint8(v) for k, v in columns})

    @property
    def _titles(self):
        identity = self._method.channels_a == self._method.channels_b
        a, b = ["real A", "A to B", "cycle A"], ["real B", "B to A", "cycle B"]
        return [*a, "identity A", *b, "identity B"] if identity else a + b

    @functools.cached_property
    def _translations(self):
        method, (a, b) = self._method, (self._photos["a"], self._photos["b"])

        def translations(state):
            def g(name, photos):
                return steps.translate(state, method, name, photos)

            fake_b, fake_a = g("g_ab", a), g("g_ba", b)
            side_a = [a, fake_b, g("g_ba", fake_b)]
            side_b = [b, fake_a, g("g_ab", fake_a)]
            if method.channels_a == method.channels_b:
                side_a.append(g("g_ba", a))
                side_b.append(g("g_ab", b))
            return side_a + side_b

        return jax.jit(translations)


def save(workdir: epath.PathLike, step: int, grid: np.ndarray) -> None:
    """Writes a picture into a run's folder, as samples/step_<n>.png."""
    folder = epath.Path(workdir) / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    images.save_png(folder / f"step_{step:08d}.png", grid)
