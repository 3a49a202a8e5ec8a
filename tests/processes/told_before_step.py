"""A training whose last process gets SIGTERM before the first step it does.

python tests/processes/told_before_step.py --config=... --workdir=FOLDER
"""

import os
import signal
import time

import jax
from jax._src import distributed

from cyclegan_jax.__main__ import run
from cyclegan_jax.training.loop import Loop

COUNTERS = "PREEMPTION_CURRENT_COUNTER"  # Where JAX's processes say which step is next.


def tell() -> None:
    """Sends the signal; returns when JAX is about to agree on the step to stop after.

    It sees a signal within a second, in which a fast training does many steps.
    """
    if jax.process_index() == jax.process_count() - 1:
        os.kill(os.getpid(), signal.SIGTERM)
    client = distributed.global_state.client
    end = time.monotonic() + 60
    while len(client.key_value_dir_get(COUNTERS)) < jax.process_count():
        assert time.monotonic() < end, "no process heard of the signal"
        time.sleep(0.1)


if __name__ == "__main__":
    train = Loop.run

    def told(loop, interrupts):
        tell()
        return train(loop, interrupts)

    Loop.run = told
    run("train", prog="told_before_step.py")
