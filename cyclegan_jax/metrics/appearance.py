"""Coarse checks on thumbnails that warn of collapse and inversion."""

from collections.abc import Iterator, Mapping

import numpy as np

from cyclegan_jax.metrics import pictures
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

LUMINANCE_CORRELATION = Metric(
    "luminance_correlation",
    "correlation",
    "luminance of inputs and outputs, as 8x8 thumbnails; -1 for negatives",
)
DIVERSITY = Metric(
    "diversity",
    "ratio",
    "standard deviation over outputs, as 8x8 thumbnails, relative to that over the"
    " real images; about 1 is right",
)
# Below this share of the target's diversity, outputs look alike.
_COLLAPSED = 0.2
# Below this correlation of luminance, outputs look like negatives.
_INVERTED = -0.3


class Appearance(Measure):
    """Correlation of luminance with the inputs, and diversity of the outputs."""

    metrics = (LUMINANCE_CORRELATION, DIVERSITY)

    def __init__(self, task: Task):
        """Sets the direction and its real images."""
        self._task = task
        self._real_diversity: float | None = None
        self.reset()

    @classmethod
    def create(cls, task: Task) -> "Appearance":
        """See `Measure`."""
        return cls(task)

    def reset(self) -> None:
        """See `Measure`."""
        self._inputs: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []

    def update(self, batch: Batch) -> None:
        """Keeps thumbnails."""
        self._inputs.append(pictures.thumbnails(batch.real))
        self._outputs.append(pictures.thumbnails(batch.fake))

    def compute(self) -> dict[Metric, float]:
        """Returns the correlation, and the diversity where it is defined."""
        inputs, outputs = np.concatenate(self._inputs), np.concatenate(self._outputs)
        correlation = pictures.luminance_correlation(inputs, outputs)
        values = {LUMINANCE_CORRELATION: correlation}
        if len(outputs) > 1 and (real := self._diversity_of_real()):
            values[DIVERSITY] = pictures.diversity(outputs) / real
        return values

    def _diversity_of_real(self) -> float:
        """Diversity of the target domain's test images; 0 for fewer than two images."""
        if self._real_diversity is None:
            batches = [
                pictures.thumbnails(x) for x in self._task.real(self._task.target)
            ]
            enough = sum(map(len, batches)) > 1
            self._real_diversity = (
                pictures.diversity(np.concatenate(batches)) if enough else 0.0
            )
        return self._real_diversity

    def warnings(self, values: Mapping[Metric, float]) -> Iterator[str]:
        """See `Measure`."""
        correlation = values[LUMINANCE_CORRELATION]
        yield from inversion(self._task.direction, correlation)
        if values.get(DIVERSITY, 1.0) < _COLLAPSED:
            yield (
                f"{self._task.direction}: outputs look alike (they vary"
                f" {values[DIVERSITY]:.0%} as much as the real images): the generator"
                " may have collapsed."
            )


def inversion(direction: str, correlation: float) -> Iterator[str]:
    """Yields a sentence where outputs look like negatives.

    Args:
      direction: AtoB or BtoA.
      correlation: see `LUMINANCE_CORRELATION`.
    """
    if correlation < _INVERTED:
        yield (
            f"{direction}: outputs look like negatives (luminance correlates"
            f" {correlation:.2f} with that of the inputs). Training rarely recovers"
            " from this: train again with another seed or an identity loss."
        )
