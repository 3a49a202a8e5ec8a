"""FID and KID: how much translations look like real images, as a set."""

from collections.abc import Iterator, Sequence

import numpy as np

from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import distances
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.metrics.features import Extractor, Features
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

# Setting -> splits whose real images the translations are compared with.
REFERENCES = {"test": ("test",), "train+test": ("train", "test")}
_BATCH_SIZE = 16  # Real images whose features are computed together.
_FEWEST = 3  # Images that KID's standard error needs.


def fid(convention: str, reference: str = "test") -> Metric:
    """Returns the metric; `convention` says how images are resized."""
    return Metric(
        f"fid_{convention}_{reference}",
        "distance",
        "Frechet inception distance (Heusel et al. 2017), resized as"
        f" {convention}, against the real {reference} images",
        min,
    )


def kid(extractor: Extractor, convention: str, reference: str) -> Metric:
    """Returns the metric; see `fid`."""
    how = (
        f", resized as {convention}"
        if extractor.fid
        else f" by {extractor.network.title}"
    )
    return Metric(
        f"kid_{convention}_{reference}",
        "distance",
        f"kernel inception distance (Binkowski et al. 2018){how}, against the real"
        f" {reference} images; unbiased",
        min,
    )


def kid_of_input(extractor: Extractor, convention: str, reference: str) -> Metric:
    """Returns the metric; see `fid`."""
    metric = kid(extractor, convention, reference)
    return metric.baseline("of_input", "baseline: the unmodified inputs")


def kid_error(convention: str, reference: str) -> Metric:
    """Returns the metric; see `fid`."""
    return Metric(
        f"kid_standard_error_{convention}_{reference}",
        "distance",
        f"standard error of kid_{convention}_{reference} (jackknife)",
    )


def _metrics() -> Iterator[Metric]:
    for extractor in EXTRACTORS.values():
        for convention in extractor.prepare:
            for reference in REFERENCES:
                if extractor.fid:
                    yield fid(convention, reference)
                yield kid(extractor, convention, reference)
                yield kid_of_input(extractor, convention, reference)
                yield kid_error(convention, reference)


def check_references(references: Sequence[str]) -> None:
    """Checks the setting.

    Raises:
      UserError: one of them is unknown.
    """
    for name in references:
        if name not in REFERENCES:
            known = ", ".join(REFERENCES)
            raise UserError(f"fid_reference is {name!r}; it can be {known}, or both.")


class Realism(Measure):
    """FID, and KID with its standard error, of each extractor that is there."""

    metrics = tuple(_metrics())

    def __init__(self, task: Task, networks: Sequence[Features]):
        """Takes the real images and the extractors."""
        self._task = task
        self._conventions = [(n, how) for n in networks for how in n.extractor.prepare]
        self.reset()

    @classmethod
    def create(cls, task: Task) -> "Realism | None":
        """See `Measure`; needs an extractor."""
        check_references(task.references)
        networks = _networks(task)
        return cls(task, networks) if networks else None

    @classmethod
    def notes(cls, task: Task) -> Iterator[str]:
        """See `Measure`."""
        networks, dataset = _networks(task), task.dataset
        counts = [len(dataset.test_a), len(dataset.test_b)]
        if networks and "train+test" in task.references:
            more = [len(dataset.train_a), len(dataset.train_b)]
            yield (
                f"Against train+test: {counts[0]} translations to B with"
                f" {more[1] + counts[1]:,} real images, {counts[1]} to A with"
                f" {more[0] + counts[0]:,}."
            )
        for extractor in (network.extractor for network in networks):
            size = extractor.network.features
            if min(counts) < _FEWEST:
                yield (
                    f"{extractor.measured} need at least {_FEWEST} images of each"
                    " domain."
                )
            elif extractor.fid and min(counts) < size:
                yield (
                    f"FID is biased upwards for so few images ({counts[0]} and"
                    f" {counts[1]}, fewer than its {size:,} features):"
                    " compare it only with values of the same numbers of images, or"
                    " use KID, which is not biased."
                )

    def reset(self) -> None:
        """See `Measure`."""
        self._fakes: list[np.ndarray] = []

    def update(self, batch: Batch) -> None:
        """Keeps the translations."""
        self._fakes.append(batch.fake)

    def compute(self) -> dict[Metric, float]:
        """Returns the distances; none where there are fewer than three images."""
        values: dict[Metric, float] = {}
        for network, convention in self._conventions:
            fake = network(self._fakes, convention)
            for reference in self._task.references:
                splits = REFERENCES[reference]
                real = np.concatenate(
                    [
                        self._features(network, convention, split, self._task.target)
                        for split in splits
                    ]
                )
                if min(len(fake), len(real)) < _FEWEST:
                    continue
                if network.extractor.fid:
                    distance = distances.frechet(fake, real)
                    values[fid(convention, reference)] = distance
                estimate = distances.kid(fake, real)
                extractor = network.extractor
                values[kid(extractor, convention, reference)] = estimate.value
                values[kid_error(convention, reference)] = estimate.standard_error
                if self._task.pixels[self._task.source].measured:
                    continue  # The networks are for pictures.
                given = self._features(network, convention, "test", self._task.source)
                value = distances.kid(given, real).value
                values[kid_of_input(extractor, convention, reference)] = value
        return values

    def _features(self, network, convention, split, domain):
        key, known = (split, domain, convention), self._task.features
        if key not in known:
            batches = self._task.real(domain, split, batch_size=_BATCH_SIZE)
            known[key] = network(batches, convention)
        return known[key]


def _networks(task):
    return [task.networks[name] for name in EXTRACTORS if name in task.networks]
