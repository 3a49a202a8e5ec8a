"""Groups metrics into charts, for pages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.metrics import losses, meanings

MAX_POINTS = 800  # Points per curve: more would be invisible and slow.


def charts(lines: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Groups metrics into charts.

    Args:
      lines: of `metrics.jsonl`.

    Returns:
      A list of {title, unit, smooth, curves: {name: [[step, value], ...]}}: the losses
      in the order of `losses.METRICS`, other metrics, and those of the test split.
    """
    points: dict[str, list] = {}
    for line in lines:
        for name, value in line.items():
            # JSON has no NaN: a single one would break the page.
            if name != "step" and np.isfinite(value):
                points.setdefault(name, []).append((line["step"], value))
    order = {metric.key: index for index, metric in enumerate(losses.METRICS)}
    result: dict[str, dict[str, Any]] = {}
    for name in sorted(points, key=lambda n: (_is_test(n), order.get(n, len(order)))):
        title, metric, curve = _place(name)
        entry = {"title": title, "unit": metric.unit, "curves": {}}
        # Scores and learning rates are exact: only losses are noisy.
        entry["smooth"] = metric.unit.endswith("loss")
        result.setdefault(title, entry)["curves"][curve] = thin(points[name])
    return list(result.values())


def _is_test(name):
    return name.startswith(meanings.TEST)


def _place(name):
    """Returns the title of the chart, the metric, and the name of its curve."""
    if not _is_test(name):
        metric = meanings.loss(name)
        return metric.chart, metric, metric.curve
    direction, _, key = name.removeprefix(meanings.TEST).partition("/")
    metric = meanings.describe(key)
    return f"Test: {metric.chart}", metric, f"{direction} {metric.curve}".strip()


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
