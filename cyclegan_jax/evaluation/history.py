"""Evaluations over a run's checkpoints: all of them, and the best."""

import json
import re
from collections.abc import Sequence
from typing import Any

from etils import epath

from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.checkpoint import evaluate
from cyclegan_jax.machine import hosts
from cyclegan_jax.metrics import meanings
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.pages import report
from cyclegan_jax.runs import (
    folder as run_folder,
)
from cyclegan_jax.runs import (
    run as restore,
)
from cyclegan_jax.runs import (
    writer,
)


def evaluate_all(workdir: epath.PathLike, **options: Any) -> list[dict[str, Any]]:
    """Evaluates every checkpoint of a run, and writes evaluation/index.html.

    Args:
      workdir: the run's folder.
      **options: see `evaluate`.
    """
    results = [evaluate(workdir, step, **options) for step in restore.steps(workdir)]
    if not hosts.is_main():
        return results
    folder, lines = epath.Path(workdir) / "evaluation", []
    for result in results:
        values = _flat(result).items()
        lines.append({"step": result["step"]} | {TEST + k: v for k, v in values})
    report.write_history_page(
        folder,
        title=f"{epath.Path(workdir).name}: {len(results)} checkpoints",
        lines=lines,
        rows=_best_and_last(results),
    )
    return results


def _best_and_last(results):
    """Rows of metric, best step and value, last value, and what it means."""
    last = _flat(results[-1])
    rows = []
    for name, value in last.items():
        metric = meanings.describe(name.partition("/")[2])
        if metric.better is None:
            continue
        values = {r["step"]: _flat(r)[name] for r in results if name in _flat(r)}
        best = metric.better(values, key=values.get)
        rows.append(
            {
                "name": name,
                "best": values[best],
                "step": best,
                "last": value,
                "meaning": metric.description,
            }
        )
    return rows


def _flat(result):
    return {
        f"{name}/{metric}": value
        for name in DIRECTIONS
        for metric, value in result.get(name, {}).items()
    }


def choose_step(workdir: epath.PathLike, text: str, metric: str = "") -> int:
    """Finds the checkpoint that a --step flag means.

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
    steps = restore.steps(workdir)
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
    (evaluation/<step>/metrics.json, of the run's own data and moving averages).

    Args:
      workdir: the run's folder.
      metric: such as AtoB/per_pixel; "" for the run's `best_metric`.

    Raises:
      UserError: it is not known which metric, or no checkpoint has been measured.
    """
    steps = restore.steps(workdir)
    metric = metric or run_folder.load_config(workdir).best_metric
    if not metric:
        raise UserError(
            "which checkpoint is the best depends on what is to be good: name a metric,"
            " such as --metric=BtoA/fid_clean_test."
        )
    better = meanings.check_metric("metric", metric)
    found = {step: v[metric] for step, v in _measured(workdir).items() if metric in v}
    unknown = [step for step in steps if step not in found]
    if unknown:
        raise UserError(
            f"{metric} of step {unknown[0]} is not known yet; python evaluate.py"
            f" --workdir={workdir} --step=all measures all checkpoints."
        )
    return better(steps, key=found.get)


def _measured(workdir):
    """Returns step -> metrics."""
    workdir, found = epath.Path(workdir), {}
    for line in writer.read_metrics(workdir):
        values = {
            name.removeprefix(TEST): value
            for name, value in line.items()
            if name.startswith(TEST)
        }
        found.setdefault(line["step"], {}).update(values)
    for path in sorted((workdir / "evaluation").glob("*/metrics.json")):
        try:
            result = json.loads(path.read_text())
            if result["average"] and not result["data_path"]:
                found.setdefault(result["step"], {}).update(_flat(result))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged; delete it and evaluate again."
            ) from error
    return found


def describe(results: Sequence[dict[str, Any]]) -> str:
    """Puts the numbers of evaluations into lines for a terminal."""
    lines = []
    for result in results:
        lines.append(f"step {result['step']:,}")
        for name in DIRECTIONS:
            for metric, value in result.get(name, {}).items():
                lines.append(f"  {name}  {metric:28s} {value:.4f}")
        lines += [f"  note: {text}" for text in result["notes"]]
        lines += [f"  warning: {text}" for text in result["warnings"]]
    if len(results) > 1:
        lines.append("best and last of all checkpoints")
        for row in _best_and_last(results):
            lines.append(
                f"  {row['name']:34s} {row['best']:.4f} at step {row['step']:,};"
                f" last {row['last']:.4f}"
            )
    return "\n".join(lines)
