"""Measures programs in alternation, each in a separate process.

Two programs in one process would share threads and allocators, and measurements one
after the other would confound the program with drift in the machine's speed. So every
contestant is a process that waits, without using the processor, until it is told to
run.
"""

import ctypes
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

SETTLE = 0.5  # Seconds; idle threads spin for a while before they sleep.


class Contestant(NamedTuple):
    """What is measured.

    Attributes:
      name: for people.
      build: makes the program in the contestant's own process, from `arguments`: a
        pair `(run, facts)`. `run()` does the work once and returns when it is done;
        `facts()` returns what there is to say afterwards, a dict for JSON.
      arguments: of `build`, keywords.
    """

    name: str
    build: Callable[..., tuple[Callable[[], None], Callable[[], dict[str, Any]]]]
    arguments: dict[str, Any]


class Result(NamedTuple):
    """Seconds of each round, and facts."""

    seconds: list[float]
    facts: dict[str, Any]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the interquartile range, relative to the median."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def alternate(
    contestants: list[Contestant], rounds: int, warmup: int = 2, release: bool = False
):
    """Runs every contestant once a round, in turn.

    Args:
      contestants: with different names.
      rounds: measured rounds.
      warmup: unmeasured runs of each, after its program is built.
      release: whether those that wait give their free memory back to the system (Linux
        with glibc), where it does not suffice for all at once. Before every measured
        run comes an unmeasured one, which gets it again.

    Returns:
      name -> Result.
    """
    context = multiprocessing.get_context("spawn")
    workers = {}
    try:
        for contestant in contestants:  # One by one: compilers use all processors.
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, contestant, warmup, release)
            )
            process.start()
            theirs.close()
            workers[contestant.name] = process, ours
            _receive(contestant.name, ours)
        seconds = {name: [] for name in workers}
        for _ in range(rounds):
            for name, (_, connection) in workers.items():
                time.sleep(SETTLE)
                connection.send("run")
                seconds[name].append(_receive(name, connection))
        results = {}
        for name, (_, connection) in workers.items():
            connection.send("facts")
            results[name] = Result(seconds[name], _receive(name, connection))
        return results
    finally:
        for process, connection in workers.values():
            connection.close()  # Ends the worker.
            process.join()


def _receive(name, connection):
    try:
        return json.loads(connection.recv())
    except EOFError:
        raise SystemExit(f"{name} ended early; its error is above") from None


def _work(connection, contestant, warmup, release):
    run, facts = contestant.build(**contestant.arguments)
    for _ in range(warmup):
        run()
    if release:
        ctypes.CDLL(None).malloc_trim(0)
    connection.send(json.dumps(None))
    try:
        while True:
            if connection.recv() == "facts":
                connection.send(json.dumps(facts() | {"peak_mib": _peak_mib()}))
                continue
            if release:
                run()
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            if release:
                ctypes.CDLL(None).malloc_trim(0)
            connection.send(json.dumps(seconds))
    except EOFError:
        return


def _peak_mib():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
