"""Class scores of translations (Zhu et al. 2017, tables 2 and 3).

Classes of label images follow from their colours, those of photographs from a
segmentation network.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from cyclegan_jax.data.palettes import LABEL_DISTANCE
from cyclegan_jax.metrics import labels
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

_SCORES = {
    "per_pixel": "pixels with the right class, as a share",
    "per_class": "recall, averaged over classes",
    "class_iou": "intersection over union, averaged over classes",
}
_BASELINES = {
    "of_real": "baseline: the real images of the target domain; the most to expect",
    "of_input": "baseline: the unmodified inputs",
    "by_chance": "baseline: the true labels of another test image",
}


@dataclasses.dataclass(frozen=True)
class ScoreMetrics:
    """The metrics of one way to predict classes.

    Attributes:
      scores: name in `segmentation.Scores` -> metric.
      baselines: name of the baseline -> name of the score -> metric.
    """

    scores: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]

    def __iter__(self) -> Iterator[Metric]:
        """Yields all metrics."""
        yield from self.scores.values()
        for metrics in self.baselines.values():
            yield from metrics.values()


def _metrics(prefix, where):
    scores = {
        name: Metric(f"{prefix}{name}", "score", f"{where}: {meaning}", max)
        for name, meaning in _SCORES.items()
    }
    baselines = {
        ending: {name: m.baseline(ending, meaning) for name, m in scores.items()}
        for ending, meaning in _BASELINES.items()
    }
    return ScoreMetrics(scores, baselines)


LABELS = _metrics("", "in label images")
PHOTOS = _metrics("fcn_", "in photographs, by a segmentation network (FCN)")
# Direction -> its metrics.
METRICS = {"AtoB": LABELS, "BtoA": PHOTOS}


class _ClassScores(Measure):
    """Scores of class maps predicted from the translations.

    Attributes:
      scored: the metrics, by score and baseline.
    """

    scored: ScoreMetrics

    def __init__(
        self,
        task: Task,
        truth: labels.Truth,
        read: Callable[[np.ndarray], np.ndarray],
    ):
        """Takes a function from uint8 [B, H, W, C] to class indices [B, H', W']."""
        self._task, self._truth, self._read = task, truth, read
        self._baselines: dict[Metric, float] | None = None
        self.reset()

    def reset(self) -> None:
        """See `Measure`."""
        self._scorer = labels.Scorer(self._truth)

    def update(self, batch: Batch) -> None:
        """Predicts the classes of the translations."""
        self._scorer.add(self._read(batch.fake))

    def compute(self) -> dict[Metric, float]:
        """Returns the scores and their baselines."""
        if self._baselines is None:
            self._baselines = dict(self._measure_baselines())
        scores = self._scorer.scores().items()
        return {self.scored.scores[k]: v for k, v in scores} | self._baselines

    def _measure_baselines(self) -> Iterator[tuple[Metric, float]]:
        task, values = self._task, {"by_chance": self._truth.chance()}
        real = getattr(task.dataset, f"test_{task.target}")
        given = getattr(task.dataset, f"test_{task.source}")
        domains = {"of_real": task.target}
        if given[0].shape[-1] == real[0].shape[-1]:
            domains["of_input"] = task.source
        for baseline, domain in domains.items():
            scorer = labels.Scorer(self._truth)
            for images in task.real(domain):
                scorer.add(self._read(images))
            values[baseline] = scorer.scores()
        for baseline, scores in values.items():
            for name, value in scores.items():
                yield self.scored.baselines[baseline][name], value


class LabelScores(_ClassScores):
    """Scores of label images, whose classes follow from their colours."""

    scored = LABELS
    metrics = tuple(LABELS)

    @classmethod
    def create(cls, task: Task) -> "LabelScores | None":
        """See `Measure`; needs colour label images in B."""
        truth, palette = task.truth, task.dataset.palette
        if task.direction != "AtoB" or truth is None or palette is None:
            return None
        if task.dataset.test_b[0].shape[-1] != 3:
            return None
        return cls(task, truth, labels.LabelReader(palette, truth.present))

    @classmethod
    def notes(cls, task: Task) -> Iterator[str]:
        """See `Measure`."""
        if task.truth and task.truth.unknown:
            yield (
                f"{task.truth.unknown:.2%} of the pixels of the test label maps have"
                f" colours farther than {LABEL_DISTANCE:.0f} (of 255) from any class;"
                " they do not count."
            )


class PhotoScores(_ClassScores):
    """Scores of photographs, segmented by the network `fcn`."""

    scored = PHOTOS
    metrics = tuple(PHOTOS)

    @classmethod
    def create(cls, task: Task) -> "PhotoScores | None":
        """See `Measure`; needs the network."""
        if task.direction != "BtoA" or task.truth is None or "fcn" not in task.networks:
            return None
        return cls(task, task.truth, task.networks["fcn"])
