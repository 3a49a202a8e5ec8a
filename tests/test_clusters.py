"""Runs in real jobs of Slurm and Open MPI, and on hosts whose network is cut."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from cyclegan_jax import files
from cyclegan_jax.runs.checkpoints import complete_steps
from cyclegan_jax.runs.comparing import compare
from tests import buckets, clusters, processes

pytestmark = pytest.mark.clusters

ROOT = processes.ROOT
SCRIPT = "examples/train.sbatch"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with clusters.slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The folder in which the server keeps what is in its bucket."""
    with buckets.used(tmp_path_factory.mktemp("gcs")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """What Slurm hands on to a job."""
    for name, value in processes.environment(devices=1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHON", sys.executable)


def submit(slurm, *arguments, options=()):
    """Submits the documented script; returns the job's number and its log."""
    log = slurm.folder / "%j.log"
    more = ("--parsable", "--nodes=2", f"--output={log}", *options)
    job = slurm.run("sbatch", *more, SCRIPT, *arguments).strip()
    return job, slurm.folder / f"{job}.log"


def wait(what, condition, log, ended=lambda: False, timeout=480):
    """Waits for something to come true; fails with the log, or if it `ended`."""
    until = time.monotonic() + timeout
    while not condition():
        if ended() or time.monotonic() > until:
            text = log.read_text() if log.exists() else ""
            pytest.fail(f"{what} was not seen:\n{text[-4000:]}")
        time.sleep(0.1)


def wait_for_step(path, step, log, ended):
    def reached():
        if not path.exists():
            return False
        lines = path.read_text().splitlines()
        return bool(lines) and json.loads(lines[-1])["step"] >= step

    wait(f"step {step}", reached, log, ended)


def wait_for_end(slurm, job, log, states=("COMPLETED",), timeout=480):
    wait(states, lambda: slurm.state(job) in states, log, timeout=timeout)


def failed(slurm, job):
    """Whether a job of Slurm has."""
    return lambda: slurm.state(job) == "FAILED"


def over(job):
    """Whether a process has ended."""
    return lambda: job.poll() is not None


def find(variable, workdir):
    """The number of the process that trains there, with this in its environment."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text().split("\0")
            variables = (path.parent / "environ").read_text(errors="replace")
        except OSError:
            continue
        trains = "train.py" in command[1:3] and f"--workdir={workdir}" in command
        if trains and variable in variables.split("\0"):
            return int(path.parent.name)
    raise LookupError(f"no process with {variable} trains in {workdir}")


def data_set(path):
    """A zip of small images of noise."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 16), ("test", 2)):
            for name in (
                f"{split}{domain}/{n}.png" for domain in "AB" for n in range(count)
            ):
                pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                files.save_png(path.with_suffix(".png"), pixels)
                archive.write(path.with_suffix(".png"), name)


LAST = 40
RUN = (
    *processes.FASTEST,
    "--config.batch_size=2",
    "--config.ema_decay=0",
    "--config.data.dataset=folder",
    f"--config.max_steps={LAST}",
    "--config.log_every_steps=1",
    "--config.checkpoint_every_steps=10",
    "--config.keep_checkpoints=100",
)
ENDLESS = "--config.max_steps=1000000"
OFTEN = "--config.checkpoint_every_steps=1"  # Slow: not over before Slurm acts.


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of all workers of pytest-xdist, with a data set."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with alone(folder):
        if not (folder / "data.zip").exists():
            data_set(folder / "data.zip")
    return folder


@contextlib.contextmanager
def alone(folder):
    """Lets one worker in at a time."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def local_data(folder):
    return (f"--config.data.path={folder}/data.zip",)


def quiet(shared):
    """Returns the run to which nothing is done, of two processes; made once."""
    with alone(shared):
        if not (shared / "quiet").exists():
            more = (*local_data(shared), f"--workdir={shared}/quiet")
            processes.run(("train.py", *RUN, *more), processes=2)
    return shared / "quiet"


def assert_same(workdir, shared):
    """Compares a run with the one to which nothing was done."""
    runs = files.as_path(workdir), quiet(shared)
    assert compare(*runs) == []
    lines = [(run / "metrics.jsonl").read_bytes() for run in runs]
    assert lines[0] == lines[1]


def test_journey(slurm, server, shared):
    """Slurm, two processes, all in a bucket; queued again once, killed once."""
    bucket = f"gs://{buckets.NAME}"
    workdir, data = f"{bucket}/journey", (f"--config.data.path={bucket}/data.zip",)
    data_file = files.as_path(f"{bucket}/data.zip")
    data_file.write_bytes((shared / "data.zip").read_bytes())
    more = (*RUN, *data, f"--workdir={workdir}", "--lost_after_seconds=6")
    job, log = submit(slurm, *more)
    lines = server / "journey/metrics.jsonl"
    wait_for_step(lines, 5, log, failed(slurm, job))
    slurm.run("scontrol", "requeue", job)
    wait("the save", lambda: "Stopped by SIGTERM" in log.read_text(), log)
    wait_for_step(
        lines, len(lines.read_text().splitlines()) + 5, log, failed(slurm, job)
    )
    os.kill(find("SLURM_PROCID=1", workdir), signal.SIGKILL)
    wait_for_end(slurm, job, log)
    text = log.read_text()
    assert "error: process 1 on" in text
    assert f"to {LAST}, saved in {workdir}" in text
    assert_same(workdir, shared)
    runs, jobs = (workdir, str(quiet(shared))), []
    for run in runs:
        command = ("evaluate.py", f"--workdir={run}", "--inception=none")
        jobs += processes.start(command)
    outputs = processes.finish(jobs)
    assert [job.returncode for job in jobs] == [0, 0], outputs
    found = [
        (files.as_path(run) / "evaluation" / str(LAST) / "metrics.json").read_bytes()
        for run in runs
    ]
    assert found[0] == found[1]


def assert_saved(workdir, log, first=1):
    """Checks that the newest checkpoint is of the last step that was logged."""
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert complete_steps(workdir)[-1] == last
    assert f"Stopped by SIGTERM after steps {first} to {last}, saved" in log.read_text()
    return last


def test_time_limit_and_cancelling(slurm, shared, tmp_path):
    """Near its limit a job saves, and queues itself again; cancelled, it saves."""
    workdir = tmp_path / "run"
    rarely = "--config.checkpoint_every_steps=100000"
    more = (*RUN, *local_data(shared), rarely, ENDLESS, f"--workdir={workdir}")
    limit = ("--time=2", "--signal=TERM@60")  # Slurm sends it up to a minute early.
    job, log = submit(slurm, *more, options=limit)
    wait("a restart", lambda: "Restarts=1" in slurm.show(job), log)
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    first = assert_saved(workdir, log)
    lines = workdir / "metrics.jsonl"
    wait_for_step(lines, first + 3, log, failed(slurm, job))
    slurm.run("scancel", job)
    wait_for_end(slurm, job, log, ("CANCELLED",), timeout=35)  # KillWait is 30 s.
    assert "Restarts=1" in slurm.show(job)
    assert_saved(workdir, log, first + 1)


def test_preempted(slurm, shared, tmp_path):
    """A job of a partition that comes first takes the nodes; then training goes on."""
    workdir = tmp_path / "run"
    more = (*RUN, *local_data(shared), OFTEN, f"--workdir={workdir}")
    job, log = submit(slurm, *more)
    wait_for_step(workdir / "metrics.jsonl", 3, log, failed(slurm, job))
    all_of_both = ("--partition=urgent", "--nodes=2", "--exclusive")
    quick = ("--parsable", "--output=/dev/null", "--wrap=sleep 1")
    urgent = slurm.run("sbatch", *all_of_both, *quick).strip()
    wait("the other job", lambda: slurm.state(urgent) == "COMPLETED", log)
    assert slurm.state(job) == "PENDING"
    assert_saved(workdir, log)
    wait_for_end(slurm, job, log)
    assert "Restarts=1" in slurm.show(job)
    assert_same(workdir, shared)


@pytest.mark.parametrize(
    "node", [clusters.NODES[0], pytest.param(clusters.NODES[1], marks=pytest.mark.slow)]
)
def test_lost_node(slurm, shared, tmp_path, node):
    """Slurm queues the job again, later than it fails; it resumes on the node."""
    workdir = tmp_path / "run"
    soon = "--lost_after_seconds=5"  # And SlurmdTimeout is 15 s; by default 60 and 300.
    more = (*RUN, *local_data(shared), OFTEN, f"--workdir={workdir}", soon)
    job, log = submit(slurm, *more)
    wait("a save", lambda: complete_steps(workdir), log, failed(slurm, job))
    slurm.lose_node(node)
    wait("another start", lambda: "Restarts=1" in slurm.show(job), log)
    slurm.start_node(node)
    wait_for_end(slurm, job, log)
    assert log.read_text().count(f"\n1 of {LAST} steps") == 1  # Then it resumed.
    assert_same(workdir, shared)


HOSTS = "127.0.0.1 localhost\n10.9.0.1 host1\n10.9.0.2 host2\n"


@pytest.fixture
def hosts(tmp_path):
    with clusters.network(tmp_path) as two:
        yield two


def mpirun(hosts, version):
    """Returns the command, on two hosts, of a version of Open MPI that is installed."""
    clusters.need("mpirun")
    here = (shutil.which("mpirun"), ROOT / "build/open_mpi_5/bin/mpirun")
    for program in filter(os.path.exists, here):
        about = subprocess.check_output((program, "--version"), text=True)
        if about.startswith(f"mpirun (Open MPI) {version}."):
            break
    else:
        pytest.skip(f"Open MPI {version} is not installed")
    prefix, agent = {4: ("mca", "plm_rsh_agent"), 5: ("prtemca", "plm_ssh_agent")}[
        version
    ]
    settings = {agent: hosts.shell} | dict.fromkeys(KEEPALIVE, 2)
    each = [f"--{prefix} {name} {value}" for name, value in settings.items()]
    # Bound to one core, XLA's thread pool is smaller, and sums are rounded otherwise.
    return " ".join([str(program), "--allow-run-as-root --bind-to none", *each])


KEEPALIVE = [f"oob_tcp_keepalive_{name}" for name in ("time", "intvl", "probes")]
OPEN_MPI = "examples/train_mpirun.sh"


@pytest.mark.parametrize("version", [4, 5])
def test_open_mpi(hosts, version, shared, tmp_path, monkeypatch):
    """A process or a host is lost, the link cut, SIGTERM; then it finishes."""
    command = f"{mpirun(hosts, version)} --host host1:1,host2:1"
    monkeypatch.setenv("MPIRUN", command)
    monkeypatch.setenv("PAUSE", "3")
    (tmp_path / "hosts").write_text(HOSTS)
    workdir, log = tmp_path / "run", tmp_path / "host1.log"
    lines = workdir / "metrics.jsonl"
    more = (*RUN, *local_data(shared), f"--workdir={workdir}")
    script = ("bash", OPEN_MPI, *more)

    ended, text = [], log.read_text

    def again(*statuses):
        """Waits for these statuses of mpirun, and for steps of its next start."""
        ended.extend(statuses)
        lines = [f"mpirun ended with status {each}; starting again" for each in ended]
        found = re.compile("mpirun ended with .*")
        wait(statuses, lambda: found.findall(text()) == lines, log, over(job))
        hosts.mend()
        wait(
            "a step",
            lambda: found.split(text())[-1].count(" steps, img/s") > 2,
            *(log, over(job)),
        )

    job = hosts.run_on(1, *script, ENDLESS)
    wait_for_step(lines, 12, log, over(job))
    if version == 4:
        os.kill(find("OMPI_COMM_WORLD_RANK=1", workdir), signal.SIGKILL)
        again(137)
    else:
        hosts.lose(2)
        again(0)
    hosts.cut()
    again({4: 205, 5: 0}[version], 255)
    job.terminate()
    assert job.wait(120) == 143
    saved = len(lines.read_text().splitlines())
    assert complete_steps(workdir)[-1] == saved
    assert f"to {saved}, saved" in text()
    job = hosts.run_on(1, *script)
    assert job.wait(480) == 0, hosts.logs()
    assert_same(workdir, shared)


@pytest.mark.parametrize("version", [4, 5])
def test_open_mpi_elsewhere(hosts, version, tmp_path):
    """Process 0 is not on the host of mpirun, where JAX expects it; it can be told."""
    (tmp_path / "hosts").write_text(HOSTS)
    command = f"{mpirun(hosts, version)} --host host2:2 -np 2".split()
    train = (sys.executable, "train.py", *RUN, f"--workdir={tmp_path}/run")
    job = hosts.run_on(1, *command, *train)
    assert job.wait(180) == 2, hosts.logs()
    assert "-x JAX_COORDINATOR_ADDRESS=host2:PORT" in hosts.logs()[0]
    assert "Traceback" not in hosts.logs()[0]
    address = ("-x", "JAX_COORDINATOR_ADDRESS=host2:1234")
    program = f"""import pathlib, jax
from cyclegan_jax.machine import hosts
hosts.connect()
pathlib.Path("{tmp_path}", str(jax.process_index())).write_text(str(hosts.count()))
"""
    job = hosts.run_on(1, *command, *address, sys.executable, "-c", program)
    assert job.wait(180) == 0, hosts.logs()
    assert [(tmp_path / number).read_text() for number in "01"] == ["2", "2"]


def test_cut_link(hosts, shared, tmp_path):
    """Both hosts notice, with one status and one sentence each."""
    workdir = tmp_path / "run"
    more = (*RUN, *local_data(shared), f"--workdir={workdir}")
    job = hosts.start(HOSTS, *more, ENDLESS)
    wait_for_step(workdir / "metrics.jsonl", 5, tmp_path / "host1.log", over(job[0]))
    hosts.cut()
    start = time.monotonic()
    assert [process.wait(60) for process in job] == [75, 75], hosts.logs()
    assert time.monotonic() - start < 30
    for log in hosts.logs():
        assert log.count("error: ") == 1, log
        assert "restart all processes to resume" in log
        assert "Traceback" not in log


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (
            HOSTS.replace("10.9.0.2 host2", "127.0.1.1 host2"),
            "host2, resolves to 127.0.1.1",
        ),
        (HOSTS.replace("host2", "other"), "own name, host2, is not known"),
    ],
)
def test_own_name_of_a_host(hosts, names, what, tmp_path):
    """As Debian writes it, other hosts cannot reach this one."""
    second = hosts.start(names, *RUN, f"--workdir={tmp_path}/run", only=2)[0]
    assert second.wait(180) == 2, hosts.logs()
    assert what in hosts.logs()[1]
    assert "Traceback" not in hosts.logs()[1]
