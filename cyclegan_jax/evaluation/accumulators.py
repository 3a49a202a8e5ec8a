"""What is measured on translated pictures, each by a class that sees all batches."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from cyclegan_jax.evaluation.realism import Realism
from cyclegan_jax.metrics import labels, lpips, pictures

# Below this share of the target's variety, outputs look alike.
_COLLAPSED = 0.2
# Below this correlation of light and dark, outputs look like negatives.
_INVERTED = -0.3


@dataclasses.dataclass(frozen=True)
class Batch:
    """Test pictures and what became of them, uint8 [B, H, W, C] each.

    Attributes:
      names: of the pictures.
      real: the inputs.
      fake: their translations.
      cycle: there and back again, if there is a way back.
      identity: the inputs through the generator of their own domain, if it takes them.
      truth: the true pictures, where test pairs exist.
    """

    names: list[str]
    real: np.ndarray
    fake: np.ndarray
    cycle: np.ndarray | None = None
    identity: np.ndarray | None = None
    truth: np.ndarray | None = None


class Instrument(Protocol):
    """Measures something over all batches of a direction."""

    def add(self, batch: Batch) -> None:
        """Takes the next pictures."""

    def metrics(self) -> dict[str, float]:
        """Returns metrics by name, once all pictures are there."""


class Similarity:
    """Pictures against what they should be: cycle, identity and true pairs."""

    def __init__(self, perceptual: lpips.LPIPS | None):
        """Takes what measures LPIPS, if there is something."""
        self._perceptual = perceptual
        self._values: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Batch) -> None:
        """Compares where there is something to compare."""
        for kind, ours, target in (
            ("cycle", batch.cycle, batch.real),
            ("identity", batch.identity, batch.real),
            ("paired", batch.fake, batch.truth),
        ):
            if ours is None or target is None:
                continue
            found = pictures.compare(ours, target, ssim=kind == "paired")
            large = min(ours.shape[1:3]) >= lpips.SMALLEST
            if self._perceptual and kind == "paired" and large:
                found["lpips"] = self._perceptual(ours, target)
            for metric, values in found.items():
                self._values.setdefault(f"{kind}_{metric}", []).append(values)

    def metrics(self) -> dict[str, float]:
        """Returns means over pictures."""
        found = self._values.items()
        return {name: float(np.mean(np.concatenate(v))) for name, v in found}


class ClassScores:
    """The classes in translations (Zhu et al. 2017, tables 2 and 3).

    Of label images by their colours, of photographs by a network that sees them.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        truth: labels.Truth,
        limits: dict[str, float],
        *,
        prefix: str = "",
    ):
        """Prepares the scores.

        Args:
          read: maps uint8 [B, H, W, C] to class indices uint8 [B, H', W'].
          truth: the true classes.
          limits: scores between which these lie, by name.
          prefix: of all names.
        """
        self._read, self._scorer = read, labels.Scorer(truth)
        self._limits, self._prefix = limits, prefix

    def add(self, batch: Batch) -> None:
        """Reads the classes of the translations."""
        self._scorer.add(self._read(batch.fake))

    def metrics(self) -> dict[str, float]:
        """Returns the scores and their limits."""
        found = (self._scorer.scores() | self._limits).items()
        return {f"{self._prefix}{name}": value for name, value in found}


class Distribution:
    """FID and KID."""

    def __init__(self, realism: Realism, dataset, transform, target: str):
        """Takes the measure, and the domain ("a" or "b") of the real pictures."""
        self._realism, self._fakes = realism, []
        self._against = dataset, transform, target

    def add(self, batch: Batch) -> None:
        """Keeps the translations."""
        self._fakes.append(batch.fake)

    def metrics(self) -> dict[str, float]:
        """Returns distances by convention and reference."""
        return self._realism.measure(self._fakes, *self._against)


class Looks:
    """Coarse checks that warn in words: collapse and inversion."""

    def __init__(self, name: str, real_diversity: float | None):
        """Takes the direction's name, and how varied the real target pictures are."""
        self._name, self._real_diversity = name, real_diversity
        self._inputs: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []
        self.warnings: list[str] = []

    def add(self, batch: Batch) -> None:
        """Keeps thumbnails."""
        self._inputs.append(pictures.thumbnails(batch.real))
        self._outputs.append(pictures.thumbnails(batch.fake))

    def metrics(self) -> dict[str, float]:
        """Returns the correlation of light and dark, and the share of diversity."""
        inputs, outputs = np.concatenate(self._inputs), np.concatenate(self._outputs)
        correlation = pictures.luminance_correlation(inputs, outputs)
        if correlation < _INVERTED:
            self.warnings.append(
                f"{self._name}: light and dark look inverted (correlation"
                f" {correlation:.2f} between inputs and outputs). Such a start rarely"
                " mends itself: train again with another seed or an identity loss."
            )
        if not self._real_diversity or len(outputs) < 2:
            return {"luminance_correlation": correlation}
        share = pictures.diversity(outputs) / self._real_diversity
        if share < _COLLAPSED:
            self.warnings.append(
                f"{self._name}: outputs look alike (they vary {share:.0%} as much as"
                " the real images): the generator may have collapsed."
            )
        return {"luminance_correlation": correlation, "diversity": share}
