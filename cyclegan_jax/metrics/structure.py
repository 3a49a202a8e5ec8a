"""Structure distance: how much of the inputs' content their translations keep."""

from collections.abc import Iterator, Mapping

import jax
import numpy as np

from cyclegan_jax.core import losses
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.metrics.features import Features
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

# At or above this share of the distance by chance, structure is lost.
_LOST = 0.9
_distances = jax.jit(losses.structure_distance)


def _metric(extractor):
    return Metric(
        f"structure_distance_{extractor.name}",
        "distance",
        "between inputs and translations: mean squared difference of the keys'"
        f" self-similarity in the last layer of {extractor.network.title} (Tumanyan et"
        " al. 2022); 0 for the same layout",
        min,
    )


# Name of an extractor -> distance, and its value by chance.
METRICS = {
    name: (
        _metric(extractor),
        _metric(extractor).baseline(
            "by_chance", "baseline: the same between inputs and translations of others"
        ),
    )
    for name, extractor in EXTRACTORS.items()
    if extractor.network.keys
}


class Structure(Measure):
    """Structure distance, averaged over images, and its value by chance."""

    metrics = tuple(metric for pair in METRICS.values() for metric in pair)

    def __init__(self, task: Task, network: Features):
        """Takes the extractor."""
        self._task, self._network = task, network
        self.reset()

    @classmethod
    def create(cls, task: Task) -> "Structure | None":
        """See `Measure`; needs an extractor with keys, and pictures in both domains."""
        if task.pixels.a.measured or task.pixels.b.measured:
            return None
        networks = [task.networks[name] for name in METRICS if name in task.networks]
        return cls(task, networks[0]) if networks else None

    def reset(self) -> None:
        """See `Measure`."""
        self._values: list[np.ndarray] = []
        self._chance: list[np.ndarray] = []
        self._before: np.ndarray | None = None

    def update(self, batch: Batch) -> None:
        """Compares each input with its translation, and with the one before it."""
        real, fake = self._network.keys(batch.real), self._network.keys(batch.fake)
        self._values.append(np.asarray(_distances(real, fake), np.float64))
        last = [] if self._before is None else [self._before]
        others = np.concatenate([*last, fake[:-1]])
        inputs = real[len(real) - len(others) :]
        if len(others):
            self._chance.append(np.asarray(_distances(inputs, others), np.float64))
        self._before = fake[-1:]

    def compute(self) -> dict[Metric, float]:
        """Returns means over images; none by chance for a single image."""
        distance, chance = METRICS[self._network.extractor.name]
        values = {distance: float(np.mean(np.concatenate(self._values)))}
        if self._chance:
            values[chance] = float(np.mean(np.concatenate(self._chance)))
        return values

    def warnings(self, values: Mapping[Metric, float]) -> Iterator[str]:
        """See `Measure`."""
        distance, chance = METRICS[self._network.extractor.name]
        if chance in values and values[distance] >= _LOST * values[chance]:
            yield (
                f"{self._task.direction}: translations are about as far from their own"
                f" inputs as from others (structure distance {values[distance]:.4f},"
                f" {values[chance]:.4f} by chance): the structure of the inputs is"
                " lost. With method cyclegan, loss.structure can keep it."
            )
