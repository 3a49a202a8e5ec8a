"""The page of a run: curves and samples, one file that opens from disk."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from etils import epath

from cyclegan_jax import published
from cyclegan_jax.writer import read_metrics

MAX_POINTS = 800  # Of a curve: more cannot be seen, and would make the page slow.
# Title of a chart, what its vertical axis shows, and the metrics that go there.
_CHARTS = (
    ("Adversarial, generators", "weighted loss", ("g_ab", "g_ba")),
    ("Adversarial, discriminators", "loss", ("d_a", "d_b")),
    ("Cycle", "weighted loss", ("cycle_a", "cycle_b")),
    ("Identity", "weighted loss", ("identity_a", "identity_b")),
    ("Learning rate", "learning rate", ("learning_rate",)),
)

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("cyclegan_jax"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_training_page(
    workdir: epath.PathLike, *, title: str, summary: Mapping[str, str]
) -> None:
    """Writes `index.html` into a run's folder, from its metrics and samples.

    Args:
      workdir: the run's folder.
      title: of the page.
      summary: heading -> a few words about the run.
    """
    workdir = epath.Path(workdir)
    samples = sorted(path.name for path in (workdir / "samples").glob("step_*.png"))
    page = _ENVIRONMENT.get_template("training.html").render(
        title=title,
        summary=summary,
        charts=charts(read_metrics(workdir)),
        samples=[f"samples/{name}" for name in samples],
    )
    temporary = workdir / "index.html.tmp"
    temporary.write_text(page)
    temporary.replace(workdir / "index.html")


def write_evaluation_page(
    folder: epath.PathLike,
    *,
    title: str,
    result: Mapping[str, Any],
    sides: Sequence[Any],
) -> None:
    """Writes `index.html` into an evaluation's folder.

    Args:
      folder: with the pictures.
      title: of the page.
      result: of `evaluation.evaluate`.
      sides: its `Direction`s.
    """
    counts = result["images"]
    summary = {
        "data": f"{result['data']}: {counts['A']:,} + {counts['B']:,} test images",
        "rounding": result["rounding"],
    } | ({"note": " ".join(result["notes"])} if result["notes"] else {})
    tables = {side.name: _table(result["data"], side) for side in sides}
    page = _ENVIRONMENT.get_template("evaluation.html").render(
        title=title,
        summary=summary,
        warnings=result["warnings"],
        tables=tables,
        gallery={side.name: side.pictures for side in sides},
    )
    folder = epath.Path(folder)
    temporary = folder / "index.html.tmp"
    temporary.write_text(page)
    temporary.replace(folder / "index.html")


def _table(dataset, side):
    """Rows of name, value, meaning, and what has been published for it."""
    rows = []
    for name, value in side.metrics.items():
        found = published.VALUES.get((dataset, side.name, name))
        rows.append(
            {
                "name": name.replace("_", " "),
                "value": f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}",
                "meaning": published.meaning(name),
                "published": f"{found[0]} ({found[1]})" if found else "",
            }
        )
    return rows


def charts(lines: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Sorts metrics into charts.

    Args:
      lines: of `metrics.jsonl`.

    Returns:
      A list of {title, unit, smooth, curves: {name: [[step, value], ...]}}.
    """
    curves = {}
    for line in lines:
        for name, value in line.items():
            if name != "step":
                curves.setdefault(name, []).append((line["step"], value))
    known = {name for _, _, names in _CHARTS for name in names}
    scores = tuple(name for name in curves if name.startswith("test/"))
    others = tuple(name for name in curves if name not in known and name not in scores)
    groups = (*_CHARTS, ("Test split", "score", scores), ("Other", "value", others))
    result = []
    for title, unit, names in groups:
        found = {name: thin(curves[name]) for name in names if name in curves}
        if found:
            # Scores and learning rates are exact: only losses are noisy.
            smooth = unit.endswith("loss")
            entry = {"title": title, "unit": unit, "smooth": smooth, "curves": found}
            result.append(entry)
    return result


def thin(curve: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Replaces a long curve by at most `MAX_POINTS` means of neighbours.

    Args:
      curve: (step, value) pairs.
    """
    points = np.asarray(curve, np.float64)
    if len(points) > MAX_POINTS:
        buckets = np.array_split(points, MAX_POINTS)
        points = np.stack([bucket.mean(axis=0) for bucket in buckets])
    return [[float(f"{value:.6g}") for value in point] for point in points]
