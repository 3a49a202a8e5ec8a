"""Chooses a checkpoint of a run: the newest, the best, or that of a given step."""

import json
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics.meanings import TEST, check_metric
from cyclegan_jax.runs import folder, storage, writer
from cyclegan_jax.runs.checkpoints import complete_steps


def list_steps(workdir: epath.PathLike) -> list[int]:
    """Lists the steps of a run's checkpoints, in order.

    Raises:
      UserError: the folder holds no run, or no checkpoint.
    """
    folder.read_config(workdir)  # Raises if there is no run.
    if steps := complete_steps(workdir):
        return steps
    raise UserError(
        f"{workdir} has no checkpoint yet; train.py writes one at least at its end."
    )


def choose_step(workdir: epath.PathLike, text: str, metric: str = "") -> int:
    """Returns the step that a --step flag refers to.

    Args:
      workdir: the run's folder.
      text: a number, `latest` or `best`.
      metric: with `best`; see `best_step`.

    Raises:
      UserError: it is none of these, or there is no such checkpoint.
    """
    if metric and text != "best":
        raise UserError("--metric goes with --step=best.")
    if text == "best":
        return best_step(workdir, metric)
    steps = list_steps(workdir)
    if text == "latest":
        return steps[-1]
    if not re.fullmatch("[0-9]+", text):
        raise UserError(f"step is {text!r}; it can be a number, latest, best or all.")
    if int(text) not in steps:
        known = ", ".join(map(str, steps))
        raise UserError(f"{workdir} has no checkpoint of step {text}, but of {known}.")
    return int(text)


def best_step(workdir: epath.PathLike, metric: str = "") -> int:
    """Finds the checkpoint with the best value of a metric.

    Values come from evaluations during the training (metrics.jsonl) and after it
    (evaluation/<step>/metrics.json, of the run's own data and averaged parameters).

    Args:
      workdir: the run's folder.
      metric: such as AtoB/per_pixel; "" for the run's `best_metric`.

    Raises:
      UserError: no metric is given, or a checkpoint has not been evaluated.
    """
    steps = list_steps(workdir)
    metric = metric or folder.load_config(workdir).best_metric
    if not metric:
        raise UserError(
            "which checkpoint is the best depends on the metric: name one,"
            " such as --metric=BtoA/fid_clean_test."
        )
    better = check_metric("metric", metric)
    values = {step: v[metric] for step, v in _measured(workdir).items() if metric in v}
    unknown = [step for step in steps if step not in values]
    if unknown:
        raise UserError(
            f"{metric} of step {unknown[0]} is not known yet; python evaluate.py"
            f" --workdir={workdir} --step=all measures all checkpoints."
        )
    return better(steps, key=values.get)


def by_direction(result: Mapping[str, Any]) -> dict[str, float]:
    """Turns {"AtoB": {"per_pixel": 0.9}} into {"AtoB/per_pixel": 0.9}."""
    return {
        f"{direction}/{metric}": value
        for direction in DIRECTIONS
        for metric, value in result.get(direction, {}).items()
    }


def _measured(workdir):
    """Returns step -> metrics."""
    workdir, measured = storage.locate(workdir), {}
    for line in writer.read_metrics(workdir):
        values = {
            name.removeprefix(TEST): value
            for name, value in line.items()
            if name.startswith(TEST)
        }
        measured.setdefault(line["step"], {}).update(values)
    for path in sorted((workdir / "evaluation").glob("*/metrics.json")):
        try:
            result = json.loads(path.read_text())
            if result["average"] and not result["data_path"]:
                measured.setdefault(result["step"], {}).update(by_direction(result))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged; delete it and evaluate again."
            ) from error
    return measured
