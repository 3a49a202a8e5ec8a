"""A metric: its key in the files, its unit, its direction and its meaning."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number in metrics.json or metrics.jsonl.

    Attributes:
      key: its name in the files.
      unit: for the axis of its chart.
      meaning: what it is, in a few words.
      better: `min` or `max`, whichever value is best; None if neither.
      chart: title of the chart it is drawn in; its key by default.
      curve: its label in that chart.
    """

    key: str
    unit: str = "value"
    meaning: str = ""
    better: Callable | None = None
    chart: str = ""
    curve: str = ""

    def __post_init__(self):
        if not self.chart:
            object.__setattr__(self, "chart", self.key.replace("_", " "))

    def baseline(self, ending: str, meaning: str) -> "Metric":
        """Returns the metric for the same score of a baseline, drawn in the same chart.

        Args:
          ending: of its key.
          meaning: what the score is of.
        """
        return dataclasses.replace(
            self,
            key=f"{self.key}_{ending}",
            meaning=meaning,
            better=None,
            curve=ending.replace("_", " "),
        )

    @property
    def way(self) -> str:
        """Which values are better: "lower", "higher", or "" for neither."""
        if self.better is None:
            return ""
        return {min: "lower", max: "higher"}[self.better]

    @property
    def description(self) -> str:
        """The meaning, and which values are better."""
        return f"{self.meaning}; {self.way} is better" if self.way else self.meaning
