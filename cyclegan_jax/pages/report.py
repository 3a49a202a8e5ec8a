"""HTML pages that open from disk."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.metrics import meanings, published
from cyclegan_jax.pages.charts import charts
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.writer import read_metrics

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("cyclegan_jax.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Renders the templates of this package; what is put in is escaped."""


def write_training_page(
    workdir: epath.PathLike,
    *,
    title: str,
    summary: Mapping[str, str],
    warnings: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes `index.html` into a run's folder, from its metrics and samples.

    Args:
      workdir: the run's folder.
      title: of the page.
      summary: heading -> short text about the run.
      warnings: sentences, each with the path of a picture from there.
    """
    workdir = storage.locate(workdir)
    samples = sorted(path.name for path in (workdir / "samples").glob("step_*.png"))
    _write(
        workdir,
        "training.html",
        title=title,
        summary=summary,
        warnings=warnings,
        charts=charts(read_metrics(workdir)),
        samples=[f"samples/{name}" for name in samples],
    )


def write_evaluation_page(
    folder: epath.PathLike,
    *,
    title: str,
    result: Mapping[str, Any],
    galleries: Mapping[str, Sequence[Mapping[str, str]]],
) -> None:
    """Writes `index.html` into an evaluation's folder.

    Args:
      folder: with the images.
      title: of the page.
      result: of `evaluation.evaluate`.
      galleries: direction -> {"name", "input", "output", "cycle"}, paths from there.
    """
    counts = result["images"]
    summary = {
        "data": f"{result['data']}: {counts['A']:,} + {counts['B']:,} test images",
        "rounding": result["rounding"],
    } | ({"note": " ".join(result["notes"])} if result["notes"] else {})
    known = published.VALUES.get(result["method"], {})
    tables = {
        name: metric_rows(known, result["data"], name, result[name])
        for name in galleries
    }
    _write(
        files.as_path(folder),
        "evaluation.html",
        title=title,
        summary=summary,
        warnings=result["warnings"],
        tables=tables,
        gallery=galleries,
    )


def write_history_page(
    folder: epath.PathLike,
    *,
    title: str,
    lines: Sequence[Mapping[str, float]],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Writes `index.html` into the folder of all evaluations.

    Args:
      folder: with a folder for each step.
      title: of the page.
      lines: of metrics, as in `metrics.jsonl`.
      rows: {"name", "best", "step", "last", "meaning"} of each metric.
    """
    shown = [dict(row) | {k: _number(row[k]) for k in ("best", "last")} for row in rows]
    steps = ", ".join(f"{line['step']:,}" for line in lines)
    _write(
        files.as_path(folder),
        "history.html",
        title=title,
        summary={"steps": steps},
        charts=charts(lines),
        rows=shown,
    )


def write_study_page(folder: epath.PathLike, study: Mapping[str, Any]) -> None:
    """Writes `index.html` of a perceptual study.

    Args:
      folder: with the images.
      study: of `study_plan.page_data`.
    """
    first = study["sessions"][0]
    _write(
        files.as_path(folder),
        "study.html",
        title="Which one is real?",
        summary={},
        counts={kind: len(first[kind]) for kind in ("practice", "scored")},
        seconds=study["show_ms"] / 1000,
        study=study,
    )


def _write(folder, template, **content):
    page = ENVIRONMENT.get_template(template).render(**content)
    files.write(folder / "index.html", page)


def _number(value):
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def metric_rows(
    known: Mapping[tuple[str, str, str], tuple[float, str]],
    dataset: str,
    direction: str,
    metrics: Mapping[str, float],
) -> list[dict[str, str]]:
    """Returns the rows of a direction's table.

    Args:
      known: of the method, from `published.VALUES`.
      dataset: name of the data set.
      direction: AtoB or BtoA.
      metrics: key -> value.

    Returns:
      {"name", "value", "meaning", "published"} of each metric.
    """
    rows = []
    for key, value in metrics.items():
        other = known.get((dataset, direction, key))
        rows.append(
            {
                "name": key.replace("_", " "),
                "value": _number(value),
                "meaning": meanings.describe(key).description,
                "published": f"{other[0]} ({other[1]})" if other else "",
            }
        )
    return rows
