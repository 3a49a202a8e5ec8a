"""Translates a test split one way, and measures what comes out."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from cyclegan_jax import data, images
from cyclegan_jax.data.palettes import LABEL_DISTANCE
from cyclegan_jax.directions import domains, other
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.accumulators import (
    Batch,
    ClassScores,
    Distribution,
    Instrument,
    Looks,
    Similarity,
)
from cyclegan_jax.evaluation.feature_networks import Judges
from cyclegan_jax.metrics import inception, labels, pictures
from cyclegan_jax.translation.translator import Translator

_AT_ONCE = 8  # Images translated together, on all devices.


@dataclasses.dataclass(frozen=True)
class Direction:
    """What came out of one direction of translation.

    Attributes:
      name: AtoB or BtoA.
      metrics: name -> value.
      warnings: sentences about what looks wrong.
    """

    name: str
    metrics: dict[str, float]
    warnings: list[str]


class TestSplit:
    """The test pictures of a data set, prepared once for all checkpoints.

    Attributes:
      dataset: the data set.
      notes: sentences about what is missing, or to be read with care.
    """

    __test__ = False  # Not for pytest.

    def __init__(
        self,
        dataset: data.Dataset,
        preprocess: data.Preprocess,
        judges: Judges,
        *,
        quiet: bool = False,
    ):
        """Takes the data and how they become test images.

        Args:
          dataset: with test images.
          preprocess: the run's.
          judges: the networks that are there.
          quiet: show no progress bar.

        Raises:
          UserError: there are no test images, or label maps of another palette.
        """
        if not len(dataset.test_a) and not len(dataset.test_b):
            raise UserError(f"{dataset.name} has no test images (testA and testB).")
        self.dataset, self._judges, self._quiet = dataset, judges, quiet
        self._transform = data.test_transform(preprocess)
        self._truth = None
        if dataset.test_class_maps is not None:
            count = len(dataset.palette.names)
            self._truth = labels.Truth(dataset.test_class_maps, count)
            self._coloured = dataset.test_b[0].shape[-1] == 3
        self.notes = [*judges.notes, *self._data_notes()]

    def _data_notes(self):
        if self._truth and self._truth.unknown:
            yield (
                f"{self._truth.unknown:.2%} of the pixels of the test label maps have"
                f" colours farther than {LABEL_DISTANCE:.0f} (of 255) from any class;"
                " they do not count."
            )
        counts = [len(self.dataset.test_a), len(self.dataset.test_b)]
        if self._judges.realism and "train+test" in self._judges.realism.references:
            more = [len(self.dataset.train_a), len(self.dataset.train_b)]
            yield (
                f"Against train+test: {counts[0]} translations to B with"
                f" {more[1] + counts[1]:,} real pictures, {counts[1]} to A with"
                f" {more[0] + counts[0]:,}."
            )
        if self._judges.realism and min(counts) < 3:
            yield "FID and KID need at least 3 pictures of each domain."
        elif self._judges.realism and min(counts) < inception.FEATURES:
            yield (
                f"FID is biased upwards for so few pictures ({counts[0]} and"
                f" {counts[1]}, fewer than its {inception.FEATURES:,} features):"
                " compare it only with values of the same numbers of pictures, and look"
                " at KID, which is not biased."
            )

    def measure(
        self,
        translators: Mapping[str, Translator],
        name: str,
        see: Callable[[Batch], None] | None = None,
    ) -> Direction:
        """Translates one test split and measures.

        Args:
          translators: by direction, each as it is to be used; the way back is optional.
          name: AtoB or BtoA.
          see: is shown all pictures.
        """
        looks, others = self._looks(name), self._instruments(name)
        count = 0
        for batch in self._batches(translators[name], translators.get(other(name))):
            for instrument in (looks, *others):
                instrument.add(batch)
            if see:
                see(batch)
            count += len(batch.names)
        metrics = {}
        for instrument in (*others, looks) if count else ():
            metrics |= instrument.metrics()
        return Direction(name, metrics, looks.warnings)

    def _looks(self, name):
        return Looks(name, self._diversity[name[-1].lower()])

    def _instruments(self, name) -> list[Instrument]:
        target, judges = name[-1].lower(), self._judges
        found: list[Instrument] = [Similarity(judges.lpips)]
        if judges.realism:
            against = self.dataset, self._transform, target
            found.append(Distribution(judges.realism, *against))
        if self._truth and self._coloured and name == "AtoB":
            found.append(ClassScores(self._reader, self._truth, self._label_limits))
        if self._truth and judges.segmenter and name == "BtoA":
            limits, see = self._photo_limits, judges.segmenter
            found.append(ClassScores(see, self._truth, limits, prefix="fcn_"))
        return found

    def _batches(self, forth: Translator, back: Translator | None) -> Iterator[Batch]:
        a, b = domains(forth.direction)
        source = getattr(self.dataset, f"test_{a}")
        target = getattr(self.dataset, f"test_{b}")
        if back is not None and not back.is_network:
            back = None  # Cycle and identity are properties of generators.
        same = back is not None and forth.channels_in == forth.channels_out
        done = 0
        with tqdm(
            total=len(source), desc=forth.direction, unit="image", disable=self._quiet
        ) as bar:
            for names, real in self._images(source):
                values = images.to_float(real)
                fake = forth.translate_float(values)
                cycle = identity = truth = None
                if back is not None:
                    cycle = images.to_uint8(back.translate_float(fake))
                if same:
                    identity = images.to_uint8(back.translate_float(values))
                if self.dataset.paired_test:
                    truth = self._truths(target, range(done, done + len(real)), fake)
                fake = images.to_uint8(fake)
                yield Batch(names, real, fake, cycle, identity, truth)
                done += len(real)
                bar.update(len(real))

    def _truths(self, target, indices, fake):
        found = [self._transform(target[i], target.names[i]) for i in indices]
        for index, image in zip(indices, found, strict=True):
            if image.shape[:2] != fake.shape[1:3]:
                height, width = fake.shape[1:3]
                raise UserError(
                    f"test image {target.names[index]} becomes {image.shape[1]}x"
                    f"{image.shape[0]}, its pair {width}x{height}: pairs are compared"
                    " pixel by pixel (data.preprocess='resize_and_crop' makes them"
                    " equal)."
                )
        return np.stack(found)

    def _images(self, source):
        return data.eval_images(source, self._transform, batch_size=_AT_ONCE)

    @functools.cached_property
    def _diversity(self) -> dict[str, float | None]:
        """How varied the real test pictures of each domain are."""
        found = dict.fromkeys("ab")
        for domain in found:
            source = getattr(self.dataset, f"test_{domain}")
            if len(source) > 1:
                small = [pictures.thumbnails(x) for _, x in self._images(source)]
                found[domain] = pictures.diversity(np.concatenate(small))
        return found

    @functools.cached_property
    def _reader(self):
        return labels.LabelReader(self.dataset.palette, self._truth.present)

    @functools.cached_property
    def _label_limits(self) -> dict[str, float]:
        return self._limits(self._reader, "b")

    @functools.cached_property
    def _photo_limits(self) -> dict[str, float]:
        return self._limits(self._judges.segmenter, "a")

    def _limits(self, read, target) -> dict[str, float]:
        """What the real pictures get, the labels of other pairs, and doing nothing."""
        found = {"by_chance": self._truth.chance()}
        a, b = self.dataset.test_a, self.dataset.test_b
        real, given = (a, b) if target == "a" else (b, a)
        sources = {"of_real": real}
        if given[0].shape[-1] == real[0].shape[-1]:
            sources["of_input"] = given
        for limit, source in sources.items():
            scorer = labels.Scorer(self._truth)
            for _, batch in self._images(source):
                scorer.add(read(batch))
            found[limit] = scorer.scores()
        return {
            f"{name}_{limit}": value
            for limit, scores in found.items()
            for name, value in scores.items()
        }
