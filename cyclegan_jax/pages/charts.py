"""Sorts metrics into charts, for pages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.metrics import meanings
from cyclegan_jax.metrics.meanings import TEST

MAX_POINTS = 800  # Of a curve: more cannot be seen, and would make the page slow.
# Title of a chart, what its vertical axis shows, and the metrics that go there.
_CHARTS = (
    ("Adversarial, generators", "weighted loss", ("g_ab", "g_ba", "g")),
    ("Adversarial, discriminators", "loss", ("d_a", "d_b", "d_ab", "d")),
    ("Cycle", "weighted loss", ("cycle_a", "cycle_b")),
    ("Identity", "weighted loss", ("identity_a", "identity_b")),
    ("Distance", "weighted loss", ("l1", "content")),
    ("Learning rate", "learning rate", ("learning_rate",)),
)


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
            # JSON knows no NaN: one would leave the page empty.
            if name != "step" and np.isfinite(value):
                curves.setdefault(name, []).append((line["step"], value))
    known = {name for _, _, names in _CHARTS for name in names}
    rest = tuple(n for n in curves if n not in known and not n.startswith(TEST))
    result = []
    for title, unit, names in (*_CHARTS, ("Other", "value", rest)):
        found = {name: thin(curves[name]) for name in names if name in curves}
        if found:
            # Scores and learning rates are exact: only losses are noisy.
            smooth = unit.endswith("loss")
            entry = {"title": title, "unit": unit, "smooth": smooth, "curves": found}
            result.append(entry)
    return result + _test_charts(curves)


def _test_charts(curves):
    """One chart a metric of the test split: both directions, and its limits."""
    found = {}
    for name, points in curves.items():
        if name.startswith(TEST):
            direction, _, metric = name.removeprefix(TEST).partition("/")
            kind = meanings.kind(metric)
            limit = metric.removeprefix(kind).replace("_", " ")
            found.setdefault(kind, {})[direction + limit] = thin(points)
    return [
        {
            "title": f"Test: {kind.replace('_', ' ')}",
            "unit": meanings.unit(kind),
            "smooth": False,
            "curves": found[kind],
        }
        for kind in found
    ]


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
