"""Evaluates one checkpoint and writes the results to its folder."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from cyclegan_jax import data, files
from cyclegan_jax.data import fingerprint
from cyclegan_jax.directions import DIRECTIONS, domains
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.evaluator import Evaluator
from cyclegan_jax.evaluation.feature_networks import FeatureNetworks
from cyclegan_jax.images import PICTURE, Pixels
from cyclegan_jax.machine import hosts
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.metrics.realism import REFERENCES, check_references
from cyclegan_jax.pages import report
from cyclegan_jax.runs.run import Run, open_experiment
from cyclegan_jax.translation.translator import Translator


def evaluate(
    workdir: epath.PathLike,
    step: int | None = None,
    *,
    average: bool = True,
    data_path: str = "",
    evaluator: Evaluator | None = None,
) -> dict[str, Any]:
    """Translates the test splits in both directions and computes all metrics.

    Writes `evaluation/<step>/` into the run's folder: the images, metrics.json and
    index.html.

    Args:
      workdir: the run's folder.
      step: of a checkpoint; None for the newest.
      average: use averaged (EMA) parameters where they exist.
      data_path: where the data are, if they have moved.
      evaluator: from `open_evaluator`; None: no FID, KID, FCN scores or LPIPS.

    Returns:
      The content of metrics.json: {"step", "method", "average", "data", "data_path",
      "images", "rounding", "notes", "AtoB": {...}, "BtoA": {...}, "warnings"}.

    Raises:
      UserError: there is no run, checkpoint or test image, or the folder cannot be
        written to.
    """
    run = Run.load(workdir, step, average=average)
    none = {"inception": "none", "fcn": "none"}
    evaluator = evaluator or open_evaluator(workdir, none, data_path=data_path)
    translators = {
        name: Translator(run, name, all_processes=True) for name in run.translations
    }
    folder = run.workdir / "evaluation" / str(run.step)
    try:
        galleries, sides = {}, []
        for name in DIRECTIONS:
            # All processes compute; the main one writes.
            if hosts.is_main() and (folder / name).exists():
                (folder / name).rmtree()  # Images of an earlier evaluation.
            if name in translators:
                pixels = [evaluator.dataset.pixels(d) for d in domains(name)]
                gallery = _Gallery(folder, name, *pixels)
                sides.append(evaluator.evaluate(translators, name, gallery.save))
                galleries[name] = gallery.entries
        dataset = evaluator.dataset
        result = {
            "step": run.step,
            "method": run.config.method,
            "average": average,
            "data": dataset.name,
            "data_path": data_path,
            "images": {"A": len(dataset.test_a), "B": len(dataset.test_b)},
            "rounding": _rounding(dataset),
            "notes": evaluator.notes,
            **{side.direction: side.metrics for side in sides},
            "warnings": [text for side in sides for text in side.warnings],
        }
        if not hosts.is_main():
            return result
        files.write_json(folder / "metrics.json", result)
        title = f"{run.workdir.name}, step {run.step:,}"
        report.write_evaluation_page(
            folder, title=title, result=result, galleries=galleries
        )
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error})."
        ) from error
    return result


def open_evaluator(
    workdir: epath.PathLike,
    networks: Mapping[str, str],
    *,
    references: Sequence[str] = ("test",),
    data_path: str = "",
    paired_test: bool = False,
    masks: str = "",
) -> Evaluator:
    """Opens the test images of a run and loads the metrics' networks.

    Args:
      workdir: the run's folder.
      networks: see `FeatureNetworks.load`.
      references: the real images of FID and KID: `test`, `train+test`.
      data_path: where the data are, if they have moved.
      paired_test: treat the test images as pairs, overriding the run's config.
      masks: what the masks of the test images keep, overriding the run's config.

    Raises:
      UserError: there is no run or no test image, or weights cannot be used.
    """
    check_references(references)
    experiment = open_experiment(workdir)
    settings = data.DataSettings.of(experiment.config.data, data_path)
    if paired_test:
        settings = dataclasses.replace(settings, paired_test=True)
    if masks:
        settings = dataclasses.replace(settings, masks=masks)
    dataset = data.open_dataset(settings, splits=_needed(references))
    loaded = FeatureNetworks.load(
        networks,
        workdir=workdir,
        palette=dataset.palette,
        by_image=experiment.config.same_bits,
    )
    evaluator = Evaluator(
        dataset,
        experiment.preprocess,
        loaded,
        references=references,
        cache_gib=experiment.config.data.cache_gib,
    )
    evaluator.notes += _about_images(dataset, settings)
    return evaluator


def _about_images(dataset: data.Dataset, settings: data.DataSettings) -> Iterator[str]:
    """Describes skipped files and converted images of the test splits."""
    yield from dataset.notes
    if dataset.left_out:
        yield f"Left out: {dataset.left_out.describe()}."
    traits = fingerprint.read(dataset, ("test_a", "test_b")).traits
    if traits:
        converted = fingerprint.describe(traits, as_stored=settings.as_stored)
        yield f"Of the test images {converted}."


def _needed(references: Sequence[str]) -> tuple[str, ...]:
    """The splits that an evaluation reads; training images as references of FID."""
    kinds = {"test"}.union(*(REFERENCES[reference] for reference in references))
    return tuple(split for split in data.SPLITS if split.partition("_")[0] in kinds)


def _rounding(dataset: data.Dataset) -> str:
    """How values are rounded: as they are stored."""
    if not (dataset.pixels_a.measured or dataset.pixels_b.measured):
        return "to the nearest of 256 levels, before anything is measured"
    a, b = dataset.pixels_a.describe(), dataset.pixels_b.describe()
    return f"as stored, before anything is measured (A: {a}; B: {b})"


class _Gallery:
    """Writes images as PNG, as they are shown, named after their sources.

    Attributes:
      entries: {"name", "input", "output", "cycle"}, paths relative to the folder.
    """

    def __init__(
        self,
        folder: epath.Path,
        direction: str,
        source: Pixels = PICTURE,
        target: Pixels = PICTURE,
    ):
        self._pixels = {"input": source, "output": target, "cycle": source}
        self.entries: list[dict[str, str]] = []
        self._folder, self._direction = folder, direction
        self._taken: set[str] = set()

    def save(self, batch: Batch) -> None:
        kinds = {"input": batch.real, "output": batch.fake, "cycle": batch.cycle}
        for index, name in enumerate(batch.names):
            stem = self._stem(name)
            entry = {"name": stem}
            for kind, pixels in kinds.items():
                if pixels is None:
                    continue
                entry[kind] = f"{self._direction}/{kind}/{stem}.png"
                path = self._folder / entry[kind]
                if hosts.is_main():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    files.save_png(path, self._pixels[kind].view(pixels[index]))
            self.entries.append(entry)

    def _stem(self, name):
        # Names may come from untrusted files: they must stay inside the folder.
        parts = [p for p in pathlib.PurePosixPath(name).parts if p not in ("/", "..")]
        inside = pathlib.PurePosixPath(*parts[1:] or parts or ["_"])
        stem = os.fsencode(str(inside.with_suffix(""))).decode("utf-8", "replace")
        if len(os.fsencode(pathlib.PurePosixPath(stem).name)) > 240:  # 255 at most.
            stem = f"{stem[:50]}_{len(self._taken)}"
        if stem in self._taken:
            stem = f"{stem}_{inside.suffix[1:]}_{len(self._taken)}"
        self._taken.add(stem)
        return stem
