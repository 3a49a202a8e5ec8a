"""Ctrl-C and SIGTERM as a request to save and stop."""

import signal
from types import FrameType, TracebackType


class Interrupts:
    """While active, remembers the first SIGINT or SIGTERM instead of dying of it.

    A second signal acts as usual, for those who cannot wait.

    Attributes:
      signal: number of the signal that came, or 0.
    """

    def __init__(self):
        self.signal = 0
        self._previous = {}

    @property
    def name(self) -> str:
        """The signal's name, such as SIGTERM."""
        return signal.Signals(self.signal).name

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
