"""Evaluations of all checkpoints of a run, and the best of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.evaluation.checkpoint import evaluate
from cyclegan_jax.machine import hosts
from cyclegan_jax.metrics import meanings
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.pages import report
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.choosing import by_direction, list_steps


def evaluate_all(workdir: epath.PathLike, **options: Any) -> list[dict[str, Any]]:
    """Evaluates every checkpoint of a run, and writes evaluation/index.html.

    Args:
      workdir: the run's folder.
      **options: see `evaluate`.
    """
    results = [evaluate(workdir, step, **options) for step in list_steps(workdir)]
    if not hosts.is_main():
        return results
    folder, lines = storage.locate(workdir) / "evaluation", []
    for result in results:
        values = by_direction(result).items()
        lines.append({"step": result["step"]} | {TEST + k: v for k, v in values})
    report.write_history_page(
        folder,
        title=f"{storage.locate(workdir).name}: {len(results)} checkpoints",
        lines=lines,
        rows=best_and_last(results),
    )
    return results


def best_and_last(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compares evaluations of a run's checkpoints, each metric by itself.

    Args:
      results: what `evaluate` returned, from the first checkpoint to the last.

    Returns:
      Of each metric that has a better end: `name`, such as AtoB/per_pixel; `best` and
      the `step` of it; `last`; and `meaning`.
    """
    last = by_direction(results[-1])
    rows = []
    for name, value in last.items():
        metric = meanings.describe(name.partition("/")[2])
        if metric.better is None:
            continue
        values = {
            r["step"]: by_direction(r)[name] for r in results if name in by_direction(r)
        }
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


def describe(results: Sequence[dict[str, Any]]) -> str:
    """Formats evaluations for a terminal."""
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
        for row in best_and_last(results):
            lines.append(
                f"  {row['name']:34s} {row['best']:.4f} at step {row['step']:,};"
                f" last {row['last']:.4f}"
            )
    return "\n".join(lines)
