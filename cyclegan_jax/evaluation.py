"""How good a run's generators are on the test split: pictures, numbers and a page."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath
from tqdm import tqdm

from cyclegan_jax import data, experiment, images, report, restore, run_folder
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import inception, labels, pictures
from cyclegan_jax.realism import Realism
from cyclegan_jax.translator import Translator

_AT_ONCE = 8  # Images translated together, on all devices.
# Below this share of the target's variety, outputs look alike.
_COLLAPSED = 0.2
# Below this correlation of light and dark, outputs look like negatives.
_INVERTED = -0.3


@dataclasses.dataclass
class Direction:
    """What came out of one direction of translation.

    Attributes:
      name: AtoB or BtoA.
      metrics: name -> value.
      warnings: sentences about what looks wrong.
      pictures: {"name", "input", "output", "cycle"}, paths relative to the folder.
    """

    name: str
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    pictures: list[dict[str, str]] = dataclasses.field(default_factory=list)


def evaluate(
    workdir: epath.PathLike,
    step: int | None = None,
    *,
    average: bool = True,
    data_path: str = "",
    realism: Realism | str = "",
) -> dict[str, Any]:
    """Translates the test splits both ways and measures what comes out.

    Writes `evaluation/<step>/` into the run's folder: the pictures, metrics.json and
    index.html.

    Args:
      workdir: the run's folder.
      step: of a checkpoint; None for the newest.
      average: use the moving averages of the parameters where they exist.
      data_path: where the data lie, if not where the run's config says.
      realism: what measures FID and KID, or a sentence that says why they are missing.

    Returns:
      What metrics.json holds: {"step", "average", "data", "data_path", "images",
      "rounding", "notes", "AtoB": {...}, "BtoA": {...}, "warnings"}.

    Raises:
      UserError: there is no run, checkpoint or test image, or the folder cannot be
        written to.
    """
    run = restore.load(workdir, step, average=average)
    dataset, transform = _load_data(run, data_path)
    folder = run.workdir / "evaluation" / str(run.step)
    try:
        for name in restore.DIRECTIONS:  # Pictures of an evaluation before.
            if (folder / name).exists():
                (folder / name).rmtree()
        sides = [
            _evaluate_direction(run, name, dataset, transform, folder, realism)
            for name, generator in restore.DIRECTIONS.items()
            if generator in run.variables
        ]
        result = {
            "step": run.step,
            "average": average,
            "data": dataset.name,
            "data_path": data_path,
            "images": {"A": len(dataset.test_a), "B": len(dataset.test_b)},
            "rounding": "to the nearest of 256 levels, before anything is measured",
            "notes": _notes(dataset, realism),
            **{side.name: side.metrics for side in sides},
            "warnings": [text for side in sides for text in side.warnings],
        }
        run_folder.write_json(folder / "metrics.json", result)
        report.write_evaluation_page(
            folder,
            title=f"{run.workdir.name}, step {run.step:,}",
            result=result,
            sides=sides,
        )
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error})."
        ) from error
    return result


def evaluate_all(workdir: epath.PathLike, **options: Any) -> list[dict[str, Any]]:
    """Evaluates every checkpoint of a run; see `evaluate`."""
    return [evaluate(workdir, step, **options) for step in restore.steps(workdir)]


def _load_data(run, data_path):
    config = run.config.copy_and_resolve_references()
    if data_path:
        config.data.path = data_path
    dataset = experiment.load_dataset(config)
    if not len(dataset.test_a) and not len(dataset.test_b):
        raise UserError(f"{dataset.name} has no test images (testA and testB).")
    transform = experiment.build_preprocess(config, run.method)
    return dataset, data.test_transform(transform)


def _notes(dataset, realism):
    """Sentences about what is missing, or to be read with care."""
    if isinstance(realism, str):
        return [realism] if realism else []
    counts = [len(getattr(dataset, f"test_{domain}")) for domain in "ab"]
    if min(counts) < 3:
        return ["FID and KID need at least 3 pictures of each domain."]
    if min(counts) >= inception.FEATURES:
        return []
    return [
        f"FID is biased upwards for so few pictures ({counts[0]} and {counts[1]}, fewer"
        f" than its {inception.FEATURES:,} features): compare it only with values of"
        " the same numbers of pictures, and look at KID, which is not biased."
    ]


def _evaluate_direction(run, name, dataset, transform, folder, realism):
    """Translates one test split and measures; see `Direction`."""
    forth = Translator(run, name)
    other = "BtoA" if name == "AtoB" else "AtoB"
    back = None
    if restore.DIRECTIONS[other] in run.variables:
        back = Translator(run, other)
    a, b = ("a", "b") if name == "AtoB" else ("b", "a")
    source, target = getattr(dataset, f"test_{a}"), getattr(dataset, f"test_{b}")
    side, measured = Direction(name), _Means()
    small_in, small_out, fakes = [], [], []
    scorer = None
    if dataset.test_class_maps is not None and name == "AtoB":
        scorer = labels.Scorer(dataset.palette, dataset.test_class_maps)
    at = 0
    for names, real in _batches(source, transform, name):
        values = images.to_float(real)
        fake_values = forth.translate_float(values)
        fake = images.to_uint8(fake_values)
        cycle = images.to_uint8(back.translate_float(fake_values)) if back else None
        if cycle is not None:
            measured.add("cycle", pictures.compare(cycle, real))
        if back and forth.channels_in == forth.channels_out:
            same = images.to_uint8(back.translate_float(values))
            measured.add("identity", pictures.compare(same, real))
        if dataset.paired_test:
            indices = range(at, at + len(real))
            truth = [transform(target[i], target.names[i]) for i in indices]
            measured.add("paired", pictures.compare(fake, np.stack(truth), ssim=True))
        if scorer:
            scorer.add(fake)
        if isinstance(realism, Realism):
            fakes.append(fake)
        small_in.append(pictures.thumbnails(real))
        small_out.append(pictures.thumbnails(fake))
        _save(side, folder, names, {"input": real, "output": fake, "cycle": cycle})
        at += len(real)
    if at:
        side.metrics |= measured.means()
        _check_looks(side, target, transform, small_in, small_out)
        if fakes:
            side.metrics |= realism.measure(fakes, dataset, transform, b)
        if scorer:
            side.metrics |= scorer.scores()
            chance = scorer.chance().items()
            side.metrics |= {f"{key}_by_chance": value for key, value in chance}
    return side


def _batches(source, transform, name) -> Iterator[tuple[list[str], np.ndarray]]:
    batches = data.eval_images(source, transform, batch_size=_AT_ONCE)
    with tqdm(total=len(source), desc=name, unit="image") as bar:
        for names, real in batches:
            yield names, real
            bar.update(len(names))


class _Means:
    """Collects values by name, and gives their means."""

    def __init__(self):
        self._values: dict[str, list[np.ndarray]] = {}

    def add(self, prefix: str, values: dict[str, np.ndarray]):
        for key, value in values.items():
            self._values.setdefault(f"{prefix}_{key}", []).append(value)

    def means(self) -> dict[str, float]:
        found = self._values.items()
        return {name: float(np.mean(np.concatenate(v))) for name, v in found}


def _check_looks(side, target, transform, small_in, small_out):
    """Measures variety and contrast, and warns in words where they look wrong."""
    small_in, small_out = np.concatenate(small_in), np.concatenate(small_out)
    correlation = pictures.luminance_correlation(small_in, small_out)
    side.metrics["luminance_correlation"] = correlation
    if correlation < _INVERTED:
        side.warnings.append(
            f"{side.name}: light and dark look inverted (correlation"
            f" {correlation:.2f} between inputs and outputs). Such a start rarely"
            " mends itself: train again with another seed or an identity loss."
        )
    if len(target) < 2 or len(small_out) < 2:
        return
    batches = data.eval_images(target, transform, batch_size=_AT_ONCE)
    real = np.concatenate([pictures.thumbnails(batch) for _, batch in batches])
    share = pictures.diversity(small_out) / max(pictures.diversity(real), 1e-9)
    side.metrics["diversity"] = share
    if share < _COLLAPSED:
        side.warnings.append(
            f"{side.name}: outputs look alike (they vary {share:.0%} as much as the"
            " real images): the generator may have collapsed."
        )


def _save(side, folder, names, kinds):
    """Writes pictures as PNG, named after their sources."""
    taken = {entry["name"] for entry in side.pictures}
    for index, name in enumerate(names):
        path = pathlib.PurePosixPath(name)
        inside = path.relative_to(path.parts[0]) if len(path.parts) > 1 else path
        stem = os.fsencode(str(inside.with_suffix(""))).decode("utf-8", "replace")
        if stem in taken:
            stem = f"{stem}_{inside.suffix[1:]}_{len(taken)}"
        taken.add(stem)
        entry = {"name": stem}
        for kind, batch in kinds.items():
            if batch is None:
                continue
            relative = f"{side.name}/{kind}/{stem}.png"
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            images.save_png(folder / relative, batch[index])
            entry[kind] = relative
        side.pictures.append(entry)


def label_scores(
    translate: Callable[[np.ndarray], np.ndarray],
    dataset: data.Dataset,
    transform: data.Preprocess,
    *,
    batch_size: int = _AT_ONCE,
) -> dict[str, float]:
    """Scores photo -> labels on the test pairs, as `labels.Scorer` does.

    Args:
      translate: maps [B, H, W, C] in [-1, 1] to label images of the same size.
      dataset: with a palette and class maps.
      transform: the run's preprocessing.
      batch_size: images translated at once.
    """
    scorer = labels.Scorer(dataset.palette, dataset.test_class_maps)
    prepare = data.test_transform(transform)
    for _, photos in data.eval_images(dataset.test_a, prepare, batch_size=batch_size):
        scorer.add(images.to_uint8(np.asarray(translate(images.to_float(photos)))))
    return scorer.scores()


def describe(results: Sequence[dict[str, Any]]) -> str:
    """Puts the numbers of evaluations into lines for a terminal."""
    lines = []
    for result in results:
        lines.append(f"step {result['step']:,}")
        for name in restore.DIRECTIONS:
            for metric, value in result.get(name, {}).items():
                lines.append(f"  {name}  {metric:24s} {value:.4f}")
        lines += [f"  note: {text}" for text in result["notes"]]
        lines += [f"  warning: {text}" for text in result["warnings"]]
    return "\n".join(lines)
