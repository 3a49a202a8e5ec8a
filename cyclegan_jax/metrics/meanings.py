"""All metrics by key: the single list for checks, charts, tables and docs."""

from collections.abc import Callable

from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import losses
from cyclegan_jax.metrics.appearance import Appearance
from cyclegan_jax.metrics.class_scores import LabelScores, PhotoScores
from cyclegan_jax.metrics.memorisation import Memorisation
from cyclegan_jax.metrics.metric import Metric
from cyclegan_jax.metrics.realism import Realism
from cyclegan_jax.metrics.similarity import Similarity
from cyclegan_jax.metrics.structure import Structure

TEST = "test/"  # Metrics of the test split are called test/<direction>/<metric>.
# The measures of an evaluation, in the order of its tables.
MEASURES = (
    *(Similarity, Structure, Realism, LabelScores, PhotoScores, Appearance),
    Memorisation,  # During training only.
)


def evaluated() -> list[Metric]:
    """Returns the metrics of the test split."""
    return [metric for measure in MEASURES for metric in measure.metrics]


def find(key: str) -> Metric | None:
    """Returns the metric of the test split with this key; None if unknown."""
    return next((metric for metric in evaluated() if metric.key == key), None)


def describe(key: str) -> Metric:
    """Returns the metric; without a meaning if its key is unknown in this version."""
    return find(key) or Metric(key)


def check_metric(setting: str, metric: str) -> Callable:
    """Checks the name of a metric by which checkpoints are compared.

    Args:
      setting: the setting or flag, for the error message.
      metric: such as AtoB/per_pixel.

    Returns:
      `min` or `max`, whichever is better.

    Raises:
      UserError: there is no such metric, or neither high nor low values are better.
    """
    direction, _, key = metric.partition("/")
    known = find(key)
    if direction not in DIRECTIONS or known is None or known.better is None:
        raise UserError(
            f"{setting} is {metric!r}; it can be a direction and a metric, such as"
            " AtoB/per_pixel or BtoA/fid_clean_test (docs/metrics.md lists them)."
        )
    return known.better


def loss(key: str) -> Metric:
    """Returns a training metric; unknown ones are drawn in the chart Other."""
    known = {metric.key: metric for metric in losses.METRICS}
    return known.get(key) or Metric(key, chart="Other", curve=key)


def table() -> str:
    """Returns the table of docs/metrics.md: one row per description."""
    rows: dict[tuple[str, str], list[str]] = {}
    for metric in evaluated():
        keys = rows.setdefault((metric.meaning, metric.way), [])
        keys.append(f"`{metric.key}`")
    lines = ["| metric | meaning | better |", "|---|---|---|"]
    for (meaning, way), keys in rows.items():
        lines.append(f"| {', '.join(keys)} | {meaning} | {way} |")
    return "\n".join(lines)
