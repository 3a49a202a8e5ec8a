"""How much memory this process can still use: of the machine, and of its container."""

import math
import pathlib
import resource
from collections.abc import Iterator
from typing import NamedTuple

_UNLIMITED = 2**60  # Control groups (v1) express "no limit" as a number above this.


class Available(NamedTuple):
    """Memory that can still be used.

    Attributes:
      bytes: how much; infinite where nothing is known.
      limit: what sets the limit.
    """

    bytes: float
    limit: str


def available(root: str = "/") -> Available:
    """Returns the least of what the machine, its control groups and ulimit leave.

    Args:
      root: of the file system that /proc and /sys are read in.
    """
    found = [Available(math.inf, "nothing"), *_limits(pathlib.Path(root))]
    return min(found, key=lambda limit: limit.bytes)


def _limits(root: pathlib.Path) -> Iterator[Available]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield Available(int(line.split()[1]) * 1024, "the machine's free memory")
    for group in _control_groups(root):
        if (left := _left(group)) is not None:
            yield Available(left, f"the memory limit of the container ({group})")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines(root / "proc/self/statm")
    if limit != resource.RLIM_INFINITY and pages:
        used = int(pages[0].split()[0]) * resource.getpagesize()
        yield Available(max(limit - used, 0), "ulimit -v")


def _control_groups(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """This process' groups and those above them, of both versions."""
    mounts = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            tops = [mounts, mounts / "unified"]
        elif "memory" in controllers.split(","):
            tops = [mounts / "memory"]
        else:
            continue
        for top in tops:
            group = top / path.strip("/")
            yield from (g for g in (group, *group.parents) if g.is_relative_to(top))


def _left(group: pathlib.Path) -> float | None:
    """What a control group's limit leaves; None without a limit."""
    for limit, used, file_pages in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        lines = [_lines(group / name) for name in (limit, used)]
        if not all(lines) or not all(line[0].isdecimal() for line in lines):
            continue
        most, current = (int(line[0]) for line in lines)
        if most >= _UNLIMITED:
            continue
        stat = dict(line.split() for line in _lines(group / "memory.stat"))
        # Cached files are given back when memory is asked for.
        return max(most - current + int(stat.get(file_pages, 0)), 0)
    return None


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # Not Linux, or not there.
        return []
