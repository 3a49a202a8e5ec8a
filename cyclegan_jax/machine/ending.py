"""Failing together: when one process of a job fails or is lost, all others exit."""

import contextlib
import ctypes
import dataclasses
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax

from cyclegan_jax.errors import (
    TRY_AGAIN,
    causes,
    complain,
    explain,
    is_out_of_memory,
    one_line,
)
from cyclegan_jax.machine import joining
from cyclegan_jax.machine.hosts import is_main

LOST = TRY_AGAIN
"""Exit status of a process whose job lost another one: the job may be run again."""

_FAILED = "cyclegan_jax/failed/"  # Keys under which failing processes say why.
_BEATS = "cyclegan_jax/beats/"  # Keys under which processes show that they live.


@dataclasses.dataclass
class _Beat:
    value: str
    seen: float  # By this process's own clock.


@contextlib.contextmanager
def together(lost_after_seconds: float = 60.0) -> Iterator[None]:
    """Makes all processes end when one of them fails or is lost.

    Where a process raises, the others say so and exit as it does; where one is not
    heard of for a while, the others name it and exit with status `LOST`.

    Args:
      lost_after_seconds: silence after which a process counts as lost.
    """
    if not jax.distributed.is_initialized():  # Unlike `hosts.count`, needs no device.
        yield
        return
    watch = _Watch(lost_after_seconds)
    try:
        yield
        watch.client.wait_at_barrier("cyclegan_jax/end", 2**31 - 1)
    except BaseException as error:
        watch.failed(error)
        _exit_with(error)
    watch.stop()


class _Watch:
    """A thread that shows that this process lives, and looks after the others."""

    def __init__(self, lost_after):
        # There is no public name for it; Orbax uses the same.
        from jax._src import distributed

        self.client = distributed.global_state.client
        self._me = distributed.global_state.process_id
        self._lost_after, self._stopped = lost_after, threading.Event()
        self._beats: dict[str, _Beat] = {}
        self._round = time.monotonic()
        if self._me:
            _handle_aborts(distributed.global_state.coordinator_address)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._guard = threading.Thread(target=self._check_responsive, daemon=True)
        self._thread.start()
        self._guard.start()

    def stop(self):
        self._stopped.set()
        self._thread.join(self._lost_after)  # A call of it may never return.
        self._guard.join()

    def failed(self, error):
        """Reports an error to the others, unless it follows from the loss of one."""
        explained = explain(error)
        if _may_follow_from_loss(error):  # Which `_look` notices later.
            time.sleep(self._lost_after + 2)
        self.stop()
        status = explained[1] if explained else 2
        text = f"{status} {_name(self._me)}: {one_line(error)}"
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # Nobody is left to hear.
            self.client.key_value_set(f"{_FAILED}{self._me}", text)
        _exit_last()

    def _run(self):
        beat = 0
        while not self._stopped.wait(0.5):
            beat += 1
            try:
                self.client.key_value_set(
                    f"{_BEATS}{self._me}", f"{beat} {socket.gethostname()}", True
                )
                self._look()
                self._round = time.monotonic()
            except jax.errors.JaxRuntimeError:
                if not self._stopped.is_set():
                    _exit(f"the main process (process 0) is lost{_AGAIN}", LOST)

    def _check_responsive(self):
        """Exits if `_run` hangs: without a network, its calls may never return."""
        while not self._stopped.wait(0.5):
            if time.monotonic() - self._round > self._lost_after:
                _exit(f"the main process (process 0) does not answer{_AGAIN}", LOST)

    def _look(self):
        now = time.monotonic()
        for key, value in self.client.key_value_dir_get(_BEATS):
            if key not in self._beats or self._beats[key].value != value:
                self._beats[key] = _Beat(value, now)
        for key, beat in self._beats.items():
            if now - beat.seen > self._lost_after:
                number, host = key.rsplit("/")[-1], beat.value.split(" ")[1]
                _exit(f"process {number} on {host} is lost{_AGAIN}", LOST)
        for _, failure in self.client.key_value_dir_get(_FAILED):
            status, _, text = failure.partition(" ")
            _exit(f"stopped by {text}", int(status))


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers: list[Any] = []  # Keeps them alive: libc has only a pointer.


def _handle_aborts(coordinator):
    """Replaces JAX's abort when process 0 is lost with our message and exit status.

    JAX's thread may notice the loss first. Its abort cannot be disabled, and a handler
    set with Python's `signal` would run too late, as that thread is not Python's.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (
        [ctypes.c_int, _HANDLER],
        ctypes.c_void_p,
    )

    def handle(number):
        if joining.is_reachable(coordinator):  # Some other fault: abort as usual.
            libc.signal(number, _HANDLER(0))
        else:
            _exit(f"the main process (process 0) is lost{_AGAIN}", LOST)

    _handlers.append(_HANDLER(handle))
    libc.signal(signal.SIGABRT, _handlers[-1])


def _may_follow_from_loss(error):
    """Whether it may be a collective that failed because a peer was lost.

    One within a checkpoint is reported by TensorStore, as a ValueError.
    """
    if isinstance(error, KeyboardInterrupt) or is_out_of_memory(error):
        return False
    return explain(error) is None or any(
        isinstance(cause, jax.errors.JaxRuntimeError)
        or (isinstance(cause, ValueError) and _COLLECTIVE.match(str(cause)))
        for cause in causes(error)
    )


# How XLA's errors begin; those of files have the number of the system's error.
_COLLECTIVE = re.compile(r"(?s)(UNKNOWN|INTERNAL|FAILED_PRECONDITION): (?!.*os_error)")
_AGAIN = "; restart all processes to resume from the newest checkpoint."


def _name(number):
    return f"process {number} on {socket.gethostname()}"


def _exit(sentence, status):
    """Ends this process, whose main thread may wait for a collective for ever."""
    complain(sentence)
    _exit_last()
    os._exit(status)


def _exit_with(error):
    """Says what went wrong, as `cli.run_argparse` does, and ends this process at once.

    A normal exit would wait for the others, which exit without notice.
    """
    status = 1
    if isinstance(error, KeyboardInterrupt):
        status = 128 + signal.SIGINT
    elif explained := joining.explain(error) or explain(error):
        sentence, status = explained
        complain(sentence)
    with contextlib.suppress(OSError, ValueError):  # As in `complain`.
        if status == 1:
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _exit_last():
    """Delays the exit of process 0, in which the coordination service runs."""
    if is_main():
        time.sleep(3)
