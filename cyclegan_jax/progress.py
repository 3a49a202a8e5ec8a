"""Progress of long work: a bar in a terminal, now and then a line elsewhere."""

import sys
import time
from typing import Any

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines where there is no terminal, such as in a log file."""


class Progress(tqdm):
    """tqdm's bar in a terminal; elsewhere whole lines instead of carriage returns."""

    def __init__(self, *args: Any, by_hand: bool = False, **kwargs: Any):
        """Starts.

        Args:
          *args: of `tqdm`.
          by_hand: without a terminal, write no lines but those of `line`.
          **kwargs: of `tqdm`.
        """
        self._lines, self._by_hand = not sys.stderr.isatty(), by_hand
        self._told = time.monotonic()
        if self._lines:
            kwargs |= {"mininterval": EVERY, "maxinterval": EVERY, "leave": False}
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool | None:
        """Called by tqdm to draw the bar, or to clear it with an empty text."""
        if not self._lines:
            return super().display(msg, pos)
        due = time.monotonic() - self._told >= EVERY and self.n > self.initial
        if due and msg is None and not self._by_hand:
            self.line()
        return None

    def clear(self, nolock: bool = False) -> None:
        """Called by tqdm before something else is written."""
        if not self._lines:
            super().clear(nolock)

    def line(self) -> None:
        """Writes a line with the current state; in a terminal, nothing."""
        if self.disable or not self._lines:
            return
        self._told = time.monotonic()
        unit = self.unit.strip()
        unit += "" if unit in ("B", "") or unit.endswith("s") else "s"
        text = f"{self.desc.removesuffix(': ')}: " if self.desc else ""
        text += self._count(self.n)
        text += f" of {self._count(self.total)}" if self.total else ""
        text += f" {unit}"
        text += f", {self.postfix}" if self.postfix else ""
        print(text, file=sys.stderr, flush=True)

    def _count(self, number):
        return self.format_sizeof(number) if self.unit_scale else f"{number:,}"
