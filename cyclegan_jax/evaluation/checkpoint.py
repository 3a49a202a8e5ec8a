"""Evaluates one checkpoint, and writes its folder."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from etils import epath

from cyclegan_jax import data, files
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.accumulators import Batch
from cyclegan_jax.evaluation.evaluator import TestSplit
from cyclegan_jax.evaluation.feature_networks import Judges
from cyclegan_jax.machine import hosts
from cyclegan_jax.pages import report
from cyclegan_jax.runs.run import Run, open_experiment
from cyclegan_jax.translation.translator import Translator


def evaluate(
    workdir: epath.PathLike,
    step: int | None = None,
    *,
    average: bool = True,
    data_path: str = "",
    test_split: TestSplit | None = None,
) -> dict[str, Any]:
    """Translates the test splits both ways and measures what comes out.

    Writes `evaluation/<step>/` into the run's folder: the pictures, metrics.json and
    index.html.

    Args:
      workdir: the run's folder.
      step: of a checkpoint; None for the newest.
      average: use the moving averages of the parameters where they exist.
      data_path: where the data lie, if not where the run's config says.
      test_split: from `open_test_split`; None: without FID, KID, FCN and LPIPS.

    Returns:
      What metrics.json holds: {"step", "method", "average", "data", "data_path",
      "images", "rounding", "notes", "AtoB": {...}, "BtoA": {...}, "warnings"}.

    Raises:
      UserError: there is no run, checkpoint or test image, or the folder cannot be
        written to.
    """
    run = Run.load(workdir, step, average=average)
    test_split = test_split or open_test_split(
        workdir, data_path=data_path, inception="none", fcn_file="none"
    )
    translators = {
        name: Translator(run, name, all_processes=True) for name in run.translations
    }
    folder = run.workdir / "evaluation" / str(run.step)
    try:
        galleries, sides = {}, []
        for name in DIRECTIONS:
            # All processes compute; the main one writes.
            if hosts.is_main() and (folder / name).exists():
                (folder / name).rmtree()  # Pictures of an evaluation before.
            if name in translators:
                gallery = _Gallery(folder, name)
                sides.append(test_split.measure(translators, name, gallery.save))
                galleries[name] = gallery.entries
        dataset = test_split.dataset
        result = {
            "step": run.step,
            "method": run.config.method,
            "average": average,
            "data": dataset.name,
            "data_path": data_path,
            "images": {"A": len(dataset.test_a), "B": len(dataset.test_b)},
            "rounding": "to the nearest of 256 levels, before anything is measured",
            "notes": test_split.notes,
            **{side.name: side.metrics for side in sides},
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


def open_test_split(
    workdir: epath.PathLike, *, data_path: str = "", **judges: Any
) -> TestSplit:
    """Opens the test pictures of a run, and the networks that judge.

    Args:
      workdir: the run's folder.
      data_path: where the data lie, if not where the run's config says.
      **judges: see `Judges.load`.

    Raises:
      UserError: there is no run or no test image, or weights cannot be used.
    """
    experiment = open_experiment(workdir)
    splits = _needed(judges.get("references", ()))
    dataset = experiment.dataset(data_path, splits)
    found = Judges.load(workdir=workdir, palette=dataset.palette, **judges)
    return TestSplit(dataset, experiment.preprocess, found)


def _needed(references: Sequence[str]) -> tuple[str, ...]:
    """The splits that an evaluation reads: training images for FID against them."""
    return data.SPLITS if "train+test" in references else data.SPLITS[2:]


class _Gallery:
    """Writes pictures as PNG, named after their sources.

    Attributes:
      entries: {"name", "input", "output", "cycle"}, paths relative to the folder.
    """

    def __init__(self, folder: epath.Path, direction: str):
        self.entries: list[dict[str, str]] = []
        self._folder, self._direction, self._taken = folder, direction, set()

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
                    files.save_png(path, pixels[index])
            self.entries.append(entry)

    def _stem(self, name):
        # Names may come from a stranger's file: they stay inside the folder.
        parts = [p for p in pathlib.PurePosixPath(name).parts if p not in ("/", "..")]
        inside = pathlib.PurePosixPath(*parts[1:] or parts or ["_"])
        stem = os.fsencode(str(inside.with_suffix(""))).decode("utf-8", "replace")
        if stem in self._taken:
            stem = f"{stem}_{inside.suffix[1:]}_{len(self._taken)}"
        self._taken.add(stem)
        return stem
