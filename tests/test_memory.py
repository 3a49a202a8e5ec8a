"""Limits of memory, as Linux writes them; the files are those of real containers."""

import math
import subprocess
import sys

import pytest

from cyclegan_jax.machine import memory

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


MEMINFO = "MemTotal:       32000000 kB\nMemFree: 1 kB\nMemAvailable:   16777216 kB\n"
V2 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "0::/job/step\n",
    "sys/fs/cgroup/job/memory.max": f"{2 * GIB}\n",
    "sys/fs/cgroup/job/memory.current": f"{GIB}\n",
    "sys/fs/cgroup/job/memory.stat": f"anon {GIB // 2}\ninactive_file {GIB // 2}\n",
    "sys/fs/cgroup/job/step/memory.max": "max\n",
    "sys/fs/cgroup/job/step/memory.current": f"{GIB}\n",
}
V1 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
    # As seen within: the group's own folder is what is mounted.
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 5\ntotal_inactive_file 4096\n",
}
FREE = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "4:memory:/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
}


@pytest.mark.parametrize(
    ("files", "left", "limit"),
    [
        (V2, 1.5 * GIB, "container"),
        (V1, GIB + 4096, "container"),
        (FREE, 16 * GIB, "free memory"),
        ({}, math.inf, "nothing"),
    ],
)
def test_the_least_limit_counts(tmp_path, files, left, limit):
    found = memory.available(write(tmp_path, files))
    assert found.bytes == left
    assert limit in found.limit


def test_ulimit_counts():
    code = "from cyclegan_jax.machine import memory; print(*memory.available())"
    command = f"ulimit -v 1500000; exec {sys.executable} -c '{code}'"
    output = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True
    ).stdout
    left, _, limit = output.partition(" ")
    assert 0 < float(left) < 1500000 * 1024
    assert "ulimit" in limit


def test_a_real_machine_has_some():
    assert memory.available().bytes > 0
