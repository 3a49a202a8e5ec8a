"""Whether discriminators know training images by heart: ADA's heuristic r_v."""

import numpy as np

from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

DISCRIMINATORS = "discriminators"  # Their name among a task's networks.
R_V = Metric(
    "r_v",
    "ratio",
    "by how much the discriminator scores training images above test images, relative"
    " to generated ones (Karras et al. 2020); 0 is right, 1: it has memorised them",
    chart="Overfitting of discriminators",
)


class Memorisation(Measure):
    """r_v = (E[D(training)] - E[D(test)]) / (E[D(training)] - E[D(generated)])."""

    metrics = (R_V,)

    def __init__(self, task: Task):
        """Takes a task with discriminators, see `evaluation.discriminators`."""
        self._task = task
        self._score = task.networks[DISCRIMINATORS]
        self.reset()

    @classmethod
    def create(cls, task: Task) -> "Memorisation | None":
        """See `Measure`; None without a discriminator of the target's images alone."""
        known = task.networks.get(DISCRIMINATORS)
        if known is None or task.target not in known.domains:
            return None
        splits = [
            getattr(task.dataset, f"{s}_{task.target}") for s in ("train", "test")
        ]
        return cls(task) if all(map(len, splits)) else None

    def reset(self) -> None:
        """See `Measure`."""
        self._generated: list[np.ndarray] = []

    def update(self, batch: Batch) -> None:
        """Scores the translations."""
        self._generated.append(self._score(self._task.target, batch.fake))

    def compute(self) -> dict[Metric, float]:
        """Returns r_v; nothing if generated images score as high as training images."""
        test = self._scores("test")
        train = self._scores("train", len(test))
        gap = np.mean(train) - np.mean(np.concatenate(self._generated))
        if gap <= 0:
            return {}
        return {R_V: float((np.mean(train) - np.mean(test)) / gap)}

    def _scores(self, split, most=None):
        """Of the first `most` images of a split; of all by default."""
        scores: list[np.ndarray] = []
        for images in self._task.real(self._task.target, split):
            scores.append(self._score(self._task.target, images))
            if most is not None and sum(map(len, scores)) >= most:
                break
        return np.concatenate(scores)[:most]
