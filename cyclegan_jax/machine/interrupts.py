"""Ctrl-C, SIGTERM and SIGHUP as a request to save and stop.

With several processes, such a request on any host stops all of them after one and the
same step.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from cyclegan_jax.machine import hosts


class Interrupts:
    """While active, remembers the first stop signal instead of being killed by it.

    These are SIGINT, SIGTERM, and SIGHUP, which a terminal sends when it is closed. A
    second signal has its usual effect. Under nohup, SIGHUP stays ignored.

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

    def stop_after_step(self) -> bool:
        """Whether to stop after this step; to be asked after every one.

        All processes get the same answer.
        """
        if hosts.stop_requested():
            self.signal = signal.SIGTERM
        return bool(self.signal)

    def __enter__(self) -> "Interrupts":
        if hosts.count() > 1:  # SIGTERM is JAX's: it tells the other processes.
            numbers, handle = [signal.SIGINT, signal.SIGHUP], self._pass_on
        else:
            numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
            handle = self._remember
        for number in numbers:
            before = signal.getsignal(number)
            if number != signal.SIGHUP or before not in (signal.SIG_IGN, None):
                self._previous[number] = signal.signal(number, handle)
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

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        self._restore()

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """While active, SIGTERM and SIGHUP end the program as Ctrl-C does.

    `SystemExit` is raised, so `finally` and `with` clean up; a second signal has its
    usual effect. Signals that are ignored, as under nohup, stay ignored.
    """
    previous: dict[signal.Signals, Any] = {}

    def restore():
        for number, handler in previous.items():
            signal.signal(number, handler)

    def end(number, frame):
        del frame
        restore()
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            previous[number] = signal.signal(number, end)
    try:
        yield
    finally:
        restore()
