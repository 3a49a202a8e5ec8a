"""Real processes for tests: jobs of one or more, each with its own fake CPU devices."""

import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[2]

# The smallest run: what is tested is what happens around the step.
TINY = (
    "--config=configs/streets.py:smoke",
    "--config.batch_size=8",
    "--config.data.streets_train=16",
    "--config.generator.width=4",
    "--config.discriminator.width=4",
    "--config.discriminator.n_layers=1",
    "--config.loss.identity=0",
    "--config.optimizer.constant_epochs=1000",
    "--config.pool_size=16",
    "--config.num_samples=1",
    "--config.evaluate_every_steps=0",
    "--config.best_metric=",
)

# The one that starts fastest: no cycles, norms, samples or scores to be traced.
FASTEST = (
    *TINY,
    "--config.batch_size=1",
    "--config.loss.cycle_a=0",
    "--config.loss.cycle_b=0",
    "--config.generator.norm=none",
    "--config.discriminator.norm=none",
    "--config.sample_every_steps=0",
    "--config.pool_size=4",
)


def environment(devices: int, *, as_users: bool = False) -> dict[str, str]:
    """Returns the environment of a program.

    Args:
      devices: of its process.
      as_users: without what makes the tests' programs compile fast and run slowly.
    """
    fast = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS") if as_users else ()
    return {name: value for name, value in os.environ.items() if name not in fast} | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }


def start(
    command: Sequence[str],
    *,
    devices: int = 1,
    processes: int = 1,
    extra: Sequence[Sequence[str]] = (),
    as_users: bool = False,
) -> list[subprocess.Popen]:
    """Starts a job.

    Args:
      command: a script of the repository and its arguments.
      devices: of each process.
      processes: of the job.
      extra: more arguments for each process.
      as_users: see `environment`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    job = []
    for number in range(processes):
        more = extra[number] if extra else ()
        together = (
            ()
            if processes == 1
            else (
                f"--coordinator={coordinator}",
                f"--num_processes={processes}",
                f"--process_id={number}",
                "--lost_after_seconds=6",
            )
        )
        job.append(
            subprocess.Popen(
                [sys.executable, *command, *together, *more],
                cwd=ROOT,
                env=environment(devices, as_users=as_users),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        )
    return job


def finish(job: Sequence[subprocess.Popen], timeout: float = 600) -> list[str]:
    """Waits for a job; returns what its processes wrote."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in job]
    finally:
        for process in job:
            process.kill()


def run(command: Sequence[str], **options) -> list[str]:
    """Runs a job that must succeed."""
    job = start(command, **options)
    outputs = finish(job)
    for process, output in zip(job, outputs, strict=True):
        assert process.returncode == 0, output[-3000:]
    return outputs
