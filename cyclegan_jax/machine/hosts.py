"""The only file that knows of several processes: starting, stopping, failing together.

A run on several hosts is one process on each, all executing the same program. A
*process* is counted from 0; process 0 is the main one, which also writes what people
look at. They talk over JAX's coordination service, which lives in process 0.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cyclegan_jax.errors import UserError

LOST = os.EX_TEMPFAIL
"""Exit status of a process whose job lost another one: the job may be run again."""

_FAILED = "cyclegan_jax/failed/"  # Keys under which failing processes say why.
_BEATS = "cyclegan_jax/beats/"  # Keys under which processes show that they live.
_NOTHING_FOUND = "coordinator_address should be defined"


def connect(
    *,
    coordinator: str = "",
    num_processes: int | None = None,
    process_id: int | None = None,
    detect: bool = True,
) -> None:
    """Joins the other processes of the job, if there are any. Call it before any JAX.

    Args:
      coordinator: HOST:PORT of process 0; without it, JAX looks for Cloud TPU, GKE,
        Slurm and Open MPI, and where there is none, the process is on its own.
      num_processes: processes of the job, with `coordinator`.
      process_id: of this process, counted from 0, with `coordinator`.
      detect: look for an environment; else the process is on its own.

    Raises:
      UserError: the arguments do not fit together, or the others cannot be reached.
    """
    missing = [x is None for x in (coordinator or None, num_processes, process_id)]
    if any(missing) and not all(missing):
        raise UserError(
            "--coordinator, --num_processes and --process_id go together: give all of"
            " them, or none to have them detected."
        )
    if not coordinator and not detect:
        return
    method = "deactivate" if coordinator else None
    try:
        jax.distributed.initialize(
            coordinator or None,
            num_processes,
            process_id,
            cluster_detection_method=method,
        )
    except (ValueError, RuntimeError) as error:
        if not coordinator and _NOTHING_FOUND in str(error):
            return
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"the other processes of this job cannot be reached ({reason}); with"
            " --nodetect_hosts this one works on its own."
        ) from error


def count() -> int:
    """How many processes there are."""
    return jax.process_count()


def is_main() -> bool:
    """Whether this process is the one that writes logs, samples and pages."""
    return jax.process_index() == 0


def share(items: int, *, multiple: int = 1) -> range:
    """Which of so many items this process does, in blocks of `multiple`."""
    blocks = -(-items // multiple)
    per_process = -(-blocks // count()) * multiple
    first = jax.process_index() * per_process
    return range(min(first, items), min(first + per_process, items))


def barrier(name: str) -> None:
    """Waits until all processes are here."""
    if count() > 1:
        multihost_utils.sync_global_devices(name)


def from_main(value: int) -> int:
    """Returns the main process's value, of 32 bits, on all of them."""
    if count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def stop_requested(step: int) -> bool:
    """Whether a host was told by SIGTERM to go, and all have agreed to stop here.

    Args:
      step: that this process has finished; all must ask at every step. The answer is
        the same on all of them.
    """
    return count() > 1 and multihost_utils.reached_preemption_sync_point(step)


def check_shared(folder: Any) -> None:
    """Checks that all processes see one and the same folder.

    Args:
      folder: an `epath.Path` that the main process has made.

    Raises:
      UserError: another process does not see what the main one writes there.
    """
    if count() == 1:
        return
    token = folder / f".seen_by_all_{from_main(time.time_ns() % 2**31)}"
    if is_main():
        token.write_text("")
    barrier("written")
    seen = token.exists()
    barrier("seen")
    if is_main():
        token.unlink()
    if not seen:
        raise UserError(
            f"{socket.gethostname()} does not see what the main process writes to"
            f" {folder}: with several hosts, --workdir must be on storage that they"
            " share, such as gs://..."
        )


@dataclasses.dataclass
class _Beat:
    value: str
    seen: float  # By this process's own clock.


@contextlib.contextmanager
def together(lost_after_seconds: float = 60.0) -> Iterator[None]:
    """Makes all processes end when one of them fails or is lost.

    Where a process raises, the others say so and exit with status 2; where one is not
    heard of for a while, the others name it and exit with status `LOST`.

    Args:
      lost_after_seconds: silence after which a process counts as lost.
    """
    if not jax.distributed.is_initialized():  # Asks for no device, unlike `count`.
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
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join()

    def failed(self, error):
        """Tells the others, unless this is what another's end looks like from here."""
        if not isinstance(error, (UserError, OSError, KeyboardInterrupt)):
            # A collective fails when its other end is gone; that takes time to see.
            time.sleep(self._lost_after + 2)
        text = str(error) or type(error).__name__
        text = text.strip().split("\n")[0]
        self.stop()
        self.client.key_value_set(f"{_FAILED}{self._me}", f"{_name(self._me)}: {text}")
        _let_others_go()

    def _run(self):
        beat = 0
        while not self._stopped.wait(0.5):
            beat += 1
            try:
                self.client.key_value_set(
                    f"{_BEATS}{self._me}", f"{beat} {socket.gethostname()}", True
                )
                self._look()
            except jax.errors.JaxRuntimeError:
                if not self._stopped.is_set():
                    _exit(f"the main process (process 0) is lost{_AGAIN}", LOST)

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
            _exit(f"stopped by {failure}", 2)


_AGAIN = "; start all processes again to go on from the newest checkpoint."


def _name(number):
    return f"process {number} on {socket.gethostname()}"


def _exit(sentence, status):
    """Ends this process, whose main thread may wait for a collective for ever."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    _let_others_go()
    os._exit(status)


def _exit_with(error):
    """Says what went wrong, as `cli.run` does, and ends this process at once.

    An orderly end would wait for the others, who leave without a word.
    """
    status = 2
    if isinstance(error, (UserError, OSError)):
        print(f"error: {error}", file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        status = 128 + signal.SIGINT
    else:
        traceback.print_exception(error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _let_others_go():
    """Process 0 is the last to go: the service lives in it, and dies with it."""
    if is_main():
        time.sleep(3)
