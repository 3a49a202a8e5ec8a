"""Translates a test split in one direction and computes its metrics."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax import data
from cyclegan_jax.data.cache import budget
from cyclegan_jax.data.masks import MaskedSource, split_off, with_masks
from cyclegan_jax.data.sources import MappedSource
from cyclegan_jax.directions import DIRECTIONS, domains, other
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.feature_networks import (
    NETWORKS,
    FeatureNetworks,
    metrics_of,
)
from cyclegan_jax.images import DomainPixels
from cyclegan_jax.machine.spread import fill_up
from cyclegan_jax.metrics import labels, meanings
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.progress import Progress
from cyclegan_jax.translation.translator import Translator

_BATCH_SIZE = 8  # Images translated together, on all devices.


@dataclasses.dataclass(frozen=True)
class Result:
    """The evaluation of one direction of translation.

    Attributes:
      direction: AtoB or BtoA.
      metrics: key -> value.
      warnings: suspicious values, one sentence each.
    """

    direction: str
    metrics: dict[str, float]
    warnings: list[str]


class Evaluator:
    """Evaluates generators on the test images of one data set.

    One object is used for all checkpoints: test images are preprocessed once.

    Attributes:
      dataset: the data set.
      notes: missing metrics and caveats, one sentence each.
    """

    def __init__(
        self,
        dataset: data.Dataset,
        preprocess: data.Preprocess,
        networks: FeatureNetworks,
        *,
        references: Sequence[str] = ("test",),
        cache_gib: float = 0.0,
        quiet: bool = False,
    ):
        """Creates all measures.

        Args:
          dataset: with test images.
          preprocess: the run's.
          networks: the metrics' networks that are available.
          references: the real images of FID and KID: `test`, `train+test`.
          cache_gib: memory for preprocessed test images; the others are preprocessed
            for each checkpoint and direction.
          quiet: show no progress bar.

        Raises:
          UserError: there are no test images, or label maps of another palette.
        """
        if not len(dataset.test_a) and not len(dataset.test_b):
            raise UserError(f"{dataset.name} has no test images (testA and testB).")
        self.dataset, self._quiet = dataset, quiet
        truth = None
        maps, palette = dataset.test_class_maps, dataset.palette
        if maps is not None and palette is not None:
            truth = labels.Truth(maps, len(palette.names))
        task = functools.partial(
            Task,
            dataset=dataset,
            transform=data.test_transform(preprocess),
            references=tuple(references),
            truth=truth,
            pixels=DomainPixels(dataset.pixels_a, dataset.pixels_b),
            features={},
            test={},
        )
        self._tasks = {}
        for direction in DIRECTIONS:
            measured = dataset.pixels(domains(direction)[1]).measured
            used = {
                name: network
                for name, network in networks.by_name.items()
                if not (measured and name in NETWORKS)  # Those are for pictures.
            }
            self._tasks[direction] = task(direction, networks=used)
        self._inputs: dict[str, data.CachedSource] = {}
        self._open_images(budget(cache_gib)[0] // 2)
        self._measures = {
            direction: list(_create(self._tasks[direction])) for direction in DIRECTIONS
        }
        self.notes = [*networks.notes, *measured_values(dataset, networks.by_name)]
        for measure in meanings.MEASURES:
            self.notes += measure.notes(self._tasks["AtoB"])

    def _open_images(self, cache_bytes):
        # For a checkpoint they are read as inputs, as the truth, and for statistics.
        kept = functools.partial(data.CachedSource, cache_bytes=cache_bytes, fill=False)
        for task in self._tasks.values():
            domain, load = task.source, task.transform_of(task.source)
            images = getattr(self.dataset, f"test_{domain}")
            masks = self.dataset.masks.get(f"test_{domain}")
            if masks is None:
                task.test[domain] = self._inputs[domain] = kept(images, load)
            else:
                masked = kept(MaskedSource(images, masks), with_masks(load))
                self._inputs[domain] = masked
                task.test[domain] = MappedSource(masked, _without_mask)

    def evaluate(
        self,
        translators: Mapping[str, Translator],
        direction: str,
        see: Callable[[Batch], None] | None = None,
    ) -> Result:
        """Translates one test split and computes its metrics.

        Args:
          translators: by direction; the other direction is optional.
          direction: AtoB or BtoA.
          see: called with every batch of images and translations.
        """
        task, measures = self._tasks[direction], self._measures[direction]
        for measure in measures:
            measure.reset()
        count = 0
        back = translators.get(other(direction))
        for batch in self._batches(task, translators[direction], back):
            for measure in measures:
                measure.update(batch)
            if see:
                see(batch)
            count += len(batch.names)
        metrics: dict[str, float] = {}
        warnings: list[str] = []
        for measure in measures if count else ():
            values = measure.compute()
            metrics |= {metric.key: value for metric, value in values.items()}
            warnings += measure.warnings(values)
        return Result(direction, metrics, warnings)

    def _batches(
        self, task: Task, forth: Translator, back: Translator | None
    ) -> Iterator[Batch]:
        source, truths = self._inputs[task.source], task.test[task.target]
        if back is not None and not back.is_network:
            back = None  # Cycle and identity are properties of generators.
        done, shape = 0, (0,)
        given, made = (task.pixels[domain] for domain in domains(task.direction))
        masked = f"test_{task.source}" in self.dataset.masks
        batches = data.eval_images(source, batch_size=_BATCH_SIZE)
        with Progress(
            total=len(source), desc=task.direction, unit="image", disable=self._quiet
        ) as bar:
            for names, real in batches:
                real, mask = split_off(real) if masked else (real, None)
                values = given.to_float(real)
                kept = slice(len(values))
                if values.shape[1:] == shape[1:]:  # Else another program is compiled.
                    values = fill_up(values, shape[0])
                shape = values.shape
                fake = forth.translate_float(values)
                cycle = identity = truth = None
                if back is not None:
                    cycle = given.from_float(back.translate_float(fake)[kept])
                    if forth.channels_in == forth.channels_out:
                        same = back.translate_float(values)[kept]
                        identity = given.from_float(same)
                if self.dataset.paired_test:
                    indices = range(done, done + len(real))
                    truth = _true_images(truths, indices, fake.shape[1:3])
                fake = made.from_float(fake[kept])
                yield Batch(names, real, fake, cycle, identity, truth, mask)
                done += len(real)
                bar.update(len(real))


def measured_values(
    dataset: data.Dataset, networks: Mapping[str, Any]
) -> Iterator[str]:
    """Says how measured values are compared and shown, and which metrics they lack.

    Args:
      dataset: the data set.
      networks: name -> network that metrics would use for pictures.
    """
    for domain in "ab":
        pixels = dataset.pixels(domain)
        if not pixels.measured:
            continue
        name, shown = domain.upper(), ", ".join(map(str, pixels.shown))
        yield (
            f"Images of {name} are {pixels.describe()}, with {pixels.counted}"
            " numbered from 0: differences are taken with that range as 0 to 1, over"
            f" all channels; pictures here, diversity and luminance are of channel"
            f"{'s' * (len(pixels.shown) > 1)} {shown}, with 8 bits."
        )
        known = [name for name in networks if name in NETWORKS]
        if known:
            missing = ", ".join(dict.fromkeys(map(metrics_of, known)))
            yield (
                f"{missing} of translations to {name} are left out, and structure"
                " distances: the networks are for pictures of 8 bits in RGB."
            )


def _create(task: Task) -> Iterator[Measure]:
    for measure in meanings.MEASURES:
        if (created := measure.create(task)) is not None:
            yield created


def _without_mask(image):
    return split_off(image)[0]


def _true_images(truths, indices, size):
    """The ground truth of test pairs, [B, H, W, C]; [H, W] must be `size`."""
    truth = [truths[i] for i in indices]
    for index, image in zip(indices, truth, strict=True):
        if image.shape[:2] != size:
            height, width = size
            raise UserError(
                f"test image {truths.names[index]} becomes {image.shape[1]}x"
                f"{image.shape[0]}, its pair {width}x{height}: pairs are compared"
                " pixel by pixel (data.preprocess='resize_and_crop' makes them"
                " equal)."
            )
    return np.stack(truth)
