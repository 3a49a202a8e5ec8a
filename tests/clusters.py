"""Real clusters of two pretended nodes on this machine, for tests.

They live in namespaces of their own, so that nothing else is changed and nothing is
left behind: own process numbers (all end with the first one), own networks and host
names, and a file of their own over /etc/hosts.
"""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.processes import ROOT

NODES = ("cyclegan1", "cyclegan2")
_START = """
set -e
mount --bind {folder}/hosts /etc/hosts
munged --force --key-file={folder}/key --socket={folder}/munge --log-file={folder}/log \
    --pid-file={folder}/munge.pid --seed-file={folder}/seed
slurmctld -D -f {folder}/slurm.conf > {folder}/slurmctld.log 2>&1 &
wait
"""
# All that the command starts ends with it.
_ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def need(*programs: str) -> None:
    """Skips what cannot be run here."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid() or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("this needs root and Linux namespaces")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Cluster:
    """Runs commands where the daemons are."""

    def __init__(self, pid: int, folder: pathlib.Path):
        self.folder = folder
        self._nodes: dict[str, subprocess.Popen] = {}
        self._enter = ["nsenter", f"--target={pid}", "--mount", "--pid", "--"]

    def start(self, *command: str) -> subprocess.Popen:
        where = (f"--chdir={ROOT}", f"SLURM_CONF={self.folder}/slurm.conf")
        return subprocess.Popen(
            [*self._enter, "env", *where, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, status: int = 0, timeout: float = 60) -> str:
        """Returns what a command printed."""
        process = self.start(*command)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
        assert process.returncode == status, output
        return output

    def show(self, job: str) -> str:
        """All that Slurm tells of a job."""
        return self.run("scontrol", "--oneliner", "show", "job", job)

    def state(self, job: str) -> str:
        """The state of a job, in capitals."""
        return self.show(job).partition("JobState=")[2].split()[0]

    def start_node(self, node: str) -> None:
        """Starts a node, whose processes all end with the first one."""
        command = ["slurmd", "-D", "-N", node, "-f", f"{self.folder}/slurm.conf"]
        with (self.folder / f"{node}.log").open("a") as log:
            self._nodes[node] = subprocess.Popen(
                [*self._enter, *_ISOLATED, *command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lose_node(self, node: str) -> None:
        """Kills all that runs on a node, as a loss of power does."""
        os.killpg(self._nodes[node].pid, signal.SIGKILL)
        self._nodes.pop(node).wait()


@contextlib.contextmanager
def slurm(folder: pathlib.Path) -> Iterator[Cluster]:
    """Starts a cluster; the test is skipped where that cannot be.

    Args:
      folder: for its files; absolute.
    """
    need("slurmctld", "slurmd", "munged", "sbatch", "srun")
    ports = free_ports(1 + len(NODES))
    host = socket.gethostname()
    (folder / "hosts").write_text(f"127.0.0.1 localhost {host} {' '.join(NODES)}\n")
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o400)
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    # Queued again, a job waits until its credentials expire: 120 s by default. JAX's
    # port follows from a job's number, which two clusters must not share.
    (folder / "slurm.conf").write_text(f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge,cred_expire=10
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
FirstJobId={os.getpid() * 32 % 4000 + 1}
SlurmdTimeout=15
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=debug Nodes={",".join(NODES)} Default=YES MaxTime=60 GraceTime=60
PartitionName=urgent Nodes={",".join(NODES)} PriorityTier=2 PreemptMode=OFF
""")
    script = ("bash", "-c", _START.format(folder=folder))
    with (folder / "start.log").open("w") as log:
        process = subprocess.Popen([*_ISOLATED, *script], stdout=log, stderr=log)
    try:
        yield _wait(process, folder)
    finally:
        process.kill()
        process.wait()


def _wait(process, folder):
    until = time.monotonic() + 60
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    cluster = None
    while time.monotonic() < until and process.poll() is None:
        if cluster is None and (folder / "slurmctld.pid").exists():
            cluster = Cluster(int(children.read_text()), folder)
            for node in NODES:
                cluster.start_node(node)
        if cluster is not None:
            asked = cluster.start("sinfo", "-h", "-o", "%T %D")
            if asked.communicate(timeout=60)[0].split() == ["idle", str(len(NODES))]:
                return cluster
        time.sleep(0.2)
    logs = [path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))]
    pytest.fail("the Slurm cluster does not start:\n" + "\n".join(logs))


# Runs a command on a host, as ssh does, which it stands for: with status 255 where the
# other host cannot be reached.
_SHELL = """#!/bin/bash
case $(hostname) in
  host?) [[ $(: 2>&1 > /dev/tcp/$1/22) = *refused* ]] || exit 255 ;;
esac
here='hostname "$0" && mount --bind {folder}/hosts /etc/hosts && exec bash -c "$*"'
exec ip netns exec {spaces}${{1#host}} unshare --uts --mount bash -c "$here" "$@"
"""


class Network:
    """Two hosts, 10.9.0.1 and 10.9.0.2, with a cable between them.

    Attributes:
      shell: a program that runs a command on `host1` or `host2`, as ssh does.
    """

    def __init__(self, folder: pathlib.Path, spaces: Sequence[str]):
        self._folder, self._spaces = folder, spaces
        self._jobs: list[subprocess.Popen] = []
        self.shell = str(folder / "on")

    def start(self, hosts: str, *arguments: str, only: int = 0):
        """Starts a process of a training job on each host, or on one of them.

        Args:
          hosts: the content of /etc/hosts.
          arguments: of train.py.
          only: the number of a host, from 1; 0: both.
        """
        (self._folder / "hosts").write_text(hosts)
        started = []
        for number in (only,) if only else (1, 2):
            job = ("--coordinator=10.9.0.1:1234", "--num_processes=2")
            me = (f"--process_id={number - 1}", "--lost_after_seconds=5")
            train = (sys.executable, "train.py", *job, *me, *arguments)
            started.append(self.run_on(number, *train))
        return started

    def run_on(self, number: int, *command: str) -> subprocess.Popen:
        """Starts a command on a host; what it writes goes to a file of the host."""
        with (self._folder / f"host{number}.log").open("w") as log:
            self._jobs.append(
                subprocess.Popen(
                    [self.shell, f"host{number}", shlex.join(command)],
                    cwd=ROOT,
                    stdout=log,
                    stderr=log,
                )
            )
        return self._jobs[-1]

    def cut(self) -> None:
        """Pulls the cable."""
        self._ip("-n", self._spaces[0], "link", "set", "cable", "down")

    def mend(self) -> None:
        """Plugs it in again."""
        self._ip("-n", self._spaces[0], "link", "set", "cable", "up")

    def lose(self, number: int) -> None:
        """Kills all that runs on a host."""
        command = ("ip", "netns", "pids", self._spaces[number - 1])
        here = subprocess.run(command, capture_output=True, text=True).stdout
        for process in here.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)

    def logs(self) -> list[str]:
        """What the processes started last wrote."""
        paths = (self._folder / f"host{number}.log" for number in (1, 2))
        return [path.read_text() if path.exists() else "" for path in paths]

    def make(self) -> None:
        """Makes the hosts."""
        program = _SHELL.format(spaces=self._spaces[0][:-1], folder=self._folder)
        pathlib.Path(self.shell).write_text(program)
        pathlib.Path(self.shell).chmod(0o700)
        one, two = self._spaces
        for space in self._spaces:
            self._ip("netns", "add", space)
        cable = ("link", "add", "cable", "type", "veth", "peer", "cable", "netns", two)
        self._ip("-n", one, *cable)
        for number, space in enumerate(self._spaces, 1):
            address = f"10.9.0.{number}/24"
            self._ip("-n", space, "address", "add", address, "dev", "cable")
            for device in ("cable", "lo"):
                self._ip("-n", space, "link", "set", device, "up")

    def remove(self) -> None:
        """Ends what still runs on the hosts, and removes them."""
        for number in (1, 2):
            self.lose(number)
        for process in self._jobs:
            process.wait()
        for space in self._spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)

    def _ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True)


@contextlib.contextmanager
def network(folder: pathlib.Path) -> Iterator[Network]:
    """Makes two hosts; the test is skipped where that cannot be.

    Args:
      folder: for their files.
    """
    need("ip", "unshare", "hostname")
    spaces = [f"cyclegan_jax_{os.getpid()}_{number}" for number in (1, 2)]
    hosts = Network(folder, spaces)
    try:
        hosts.make()
        yield hosts
    finally:
        hosts.remove()
