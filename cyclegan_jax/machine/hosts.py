"""Several processes: connecting, synchronising, dividing work.

A run on several hosts is one process on each, all executing the same program. Processes
are numbered from 0; process 0, the main process, also writes logs, samples and pages.
They communicate through JAX's coordination service, which runs in process 0. See
`detection` and `joining` for how they find each other and `ending` for how they fail
together.
"""

import itertools
import socket
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cyclegan_jax.errors import UserError, one_line
from cyclegan_jax.machine import detection, joining


def connect(
    *,
    coordinator: str = "",
    num_processes: int | None = None,
    process_id: int | None = None,
    detect: bool = True,
    timeout: float = 300.0,
    lost_after_seconds: float = 60.0,
) -> None:
    """Connects to the job's other processes, if any. Call it before JAX's first use.

    Args:
      coordinator: HOST:PORT of process 0; without it, JAX looks for Cloud TPU, GKE,
        Slurm and Open MPI, and where there is none, the process is on its own.
      num_processes: processes of the job, with `coordinator`.
      process_id: of this process, counted from 0, with `coordinator`.
      detect: look for an environment; else the process is on its own.
      timeout: seconds to wait for the others.
      lost_after_seconds: as for `ending.together`; JAX's own timeout is set far longer.

    Raises:
      UserError: the arguments do not fit together, or the others cannot be reached.
    """
    global _lost_after
    _lost_after = lost_after_seconds
    missing = [x is None for x in (coordinator or None, num_processes, process_id)]
    if any(missing) and not all(missing):
        raise UserError(
            "--coordinator, --num_processes and --process_id go together: give all of"
            " them, or none to have them detected."
        )
    if num_processes is not None and process_id is not None:
        address, num, me, devices = coordinator, num_processes, process_id, None
    else:
        found = detection.detect(timeout) if detect else None
        if found is None:
            return
        address, num, me, devices = found
    joining.check(address, num, me)
    try:
        with joining.waiting(address, num, me, timeout):
            jax.distributed.initialize(
                address,
                num,
                me,
                local_device_ids=devices,
                cluster_detection_method="deactivate",
                initialization_timeout=int(timeout) + 60,  # Ours comes first.
                heartbeat_timeout_seconds=int(max(300, 5 * lost_after_seconds)),
            )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"the other processes of this job cannot be reached ({one_line(error)});"
            f" {detection.ALONE}."
        ) from error


_lost_after = 60.0


def lost_after() -> float:
    """Seconds of silence after which a process of this job counts as lost."""
    return _lost_after


def count() -> int:
    """How many processes there are."""
    return jax.process_count()


def is_main() -> bool:
    """Whether this process is the one that writes logs, samples and pages."""
    return jax.process_index() == 0


def share(items: int, *, multiple: int = 1) -> range:
    """Returns which of `items` items this process handles, in blocks of `multiple`."""
    blocks = -(-items // multiple)
    per_process = -(-blocks // count()) * multiple
    first = jax.process_index() * per_process
    return range(min(first, items), min(first + per_process, items))


def barrier(name: str) -> None:
    """Waits until all processes have reached this call."""
    if count() > 1:
        multihost_utils.sync_global_devices(name)


def from_main(value: int) -> int:
    """Returns the main process's value, of 32 bits, on all of them."""
    if count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


_questions = itertools.count(1)


def stop_requested() -> bool:
    """Whether a host was told by SIGTERM to go, and all have agreed to stop here.

    All processes must ask after every step; the answer is the same on all of them.
    """
    # JAX gets the number of the question, not of the step: told before the first one,
    # it stops at number 1, which the steps of a resumed run would be past.
    return count() > 1 and multihost_utils.reached_preemption_sync_point(
        next(_questions)
    )


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
