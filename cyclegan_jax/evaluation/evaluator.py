"""Translates a test split in one direction and computes its metrics."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from cyclegan_jax import data, images
from cyclegan_jax.directions import DIRECTIONS, other
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.feature_networks import FeatureNetworks
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
        quiet: bool = False,
    ):
        """Creates all measures.

        Args:
          dataset: with test images.
          preprocess: the run's.
          networks: the metrics' networks that are available.
          references: the real images of FID and KID: `test`, `train+test`.
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
            networks=networks.by_name,
            references=tuple(references),
            truth=truth,
        )
        self._tasks = {direction: task(direction) for direction in DIRECTIONS}
        self._measures = {
            direction: list(_create(self._tasks[direction])) for direction in DIRECTIONS
        }
        self.notes = list(networks.notes)
        for measure in meanings.MEASURES:
            self.notes += measure.notes(self._tasks["AtoB"])

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
        source = getattr(self.dataset, f"test_{task.source}")
        target = getattr(self.dataset, f"test_{task.target}")
        if back is not None and not back.is_network:
            back = None  # Cycle and identity are properties of generators.
        done = 0
        batches = data.eval_images(source, task.transform, batch_size=_BATCH_SIZE)
        with Progress(
            total=len(source), desc=task.direction, unit="image", disable=self._quiet
        ) as bar:
            for names, real in batches:
                values = images.to_float(real)
                fake = forth.translate_float(values)
                cycle = identity = truth = None
                if back is not None:
                    cycle = images.to_uint8(back.translate_float(fake))
                    if forth.channels_in == forth.channels_out:
                        identity = images.to_uint8(back.translate_float(values))
                if self.dataset.paired_test:
                    indices = range(done, done + len(real))
                    truth = _true_images(task, target, indices, fake.shape[1:3])
                fake = images.to_uint8(fake)
                yield Batch(names, real, fake, cycle, identity, truth)
                done += len(real)
                bar.update(len(real))


def _create(task: Task) -> Iterator[Measure]:
    for measure in meanings.MEASURES:
        if (created := measure.create(task)) is not None:
            yield created


def _true_images(task, target, indices, size):
    """The ground truth of test pairs, uint8 [B, H, W, C]; [H, W] must be `size`."""
    truth = [task.transform(target[i], target.names[i]) for i in indices]
    for index, image in zip(indices, truth, strict=True):
        if image.shape[:2] != size:
            height, width = size
            raise UserError(
                f"test image {target.names[index]} becomes {image.shape[1]}x"
                f"{image.shape[0]}, its pair {width}x{height}: pairs are compared"
                " pixel by pixel (data.preprocess='resize_and_crop' makes them"
                " equal)."
            )
    return np.stack(truth)
