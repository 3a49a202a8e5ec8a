"""Runs in real jobs of Slurm and Open MPI, and on hosts whose network is cut."""

import json
import os
import pathlib
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


def wait(what, condition, log, ended=lambda: False, timeout=240):
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


def wait_for_end(slurm, job, log, states=("COMPLETED",)):
    wait(states, lambda: slurm.state(job) in states, log)


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
    *processes.TINY,
    "--config.data.dataset=folder",
    f"--config.max_steps={LAST}",
    "--config.log_every_steps=1",
    "--config.checkpoint_every_steps=4",
    "--config.keep_checkpoints=100",
)
ENDLESS = "--config.max_steps=1000000"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The run to which nothing is done, of two processes; its data are beside it."""
    folder = tmp_path_factory.mktemp("quiet")
    data_set(folder / "data.zip")
    processes.run(
        ("train.py", *RUN, *local_data(folder), f"--workdir={folder}/run"), processes=2
    )
    return folder / "run"


def local_data(folder):
    return (f"--config.data.path={folder}/data.zip",)


def assert_same(workdir, quiet):
    workdir = files.as_path(workdir)
    assert compare(workdir, quiet) == []
    lines = [(run / "metrics.jsonl").read_bytes() for run in (workdir, quiet)]
    assert lines[0] == lines[1]


def test_journey(slurm, server, quiet):
    """Slurm, two processes, all in a bucket; queued again once, killed once."""
    bucket = f"gs://{buckets.NAME}"
    workdir, data = f"{bucket}/journey", (f"--config.data.path={bucket}/data.zip",)
    data_file = files.as_path(f"{bucket}/data.zip")
    data_file.write_bytes((quiet.parent / "data.zip").read_bytes())
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
    assert_same(workdir, quiet)
    found = []
    for run in (workdir, str(quiet)):
        processes.run(("evaluate.py", f"--workdir={run}", "--inception=none"))
        folder = files.as_path(run) / "evaluation" / str(LAST)
        found.append((folder / "metrics.json").read_bytes())
    assert found[0] == found[1]


def test_time_limit(slurm, quiet, tmp_path):
    """Near its limit a job saves, and queues itself again."""
    workdir = tmp_path / "run"
    more = (*RUN, *local_data(quiet.parent), ENDLESS, f"--workdir={workdir}")
    limit = ("--time=2", "--signal=TERM@60")  # Slurm sends it up to a minute early.
    job, log = submit(slurm, *more, options=limit)
    wait("a restart", lambda: "Restarts=1" in slurm.show(job), log)
    saved = complete_steps(workdir)[-1]
    assert f"Stopped by SIGTERM after steps 1 to {saved}" in log.read_text()
    slurm.run("scancel", job)


MPIRUN = (
    # It waits so long before it hands SIGTERM on, and again before SIGKILL.
    *("mpirun", "-np", "2", "--mca", "odls_base_sigkill_timeout", "15"),
    # As root, on fewer cores than processes.
    *("--allow-run-as-root", "--oversubscribe", "--bind-to", "none"),
)


def mpirun(log, *arguments):
    clusters.need("mpirun")
    command = (*MPIRUN, sys.executable, "train.py", *arguments)
    with log.open("a") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)


def test_open_mpi_sigterm(quiet, tmp_path):
    """SIGTERM to mpirun saves; it prints nothing more of what its processes write."""
    workdir, log = tmp_path / "run", tmp_path / "log"
    place = (*local_data(quiet.parent), f"--workdir={workdir}")
    job = mpirun(log, *RUN, *place, ENDLESS, "--config.checkpoint_every_steps=100000")
    try:
        wait_for_step(workdir / "metrics.jsonl", 2, log, over(job))
        job.terminate()
        assert job.wait(120) != 0
    finally:
        job.kill()
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert complete_steps(workdir) == [json.loads(lines[-1])["step"]]


def test_open_mpi_kill(quiet, tmp_path):
    """A rank that is killed ends the job with 137; the next one ends as if never."""
    workdir, log = tmp_path / "run", tmp_path / "log"
    more = (*RUN, *local_data(quiet.parent), f"--workdir={workdir}")
    job = mpirun(log, *more)
    try:
        wait_for_step(workdir / "metrics.jsonl", 5, log, over(job))
        os.kill(find("OMPI_COMM_WORLD_RANK=1", workdir), signal.SIGKILL)
        assert job.wait(120) == 137
        job = mpirun(log, *more)
        assert job.wait(240) == 0, log.read_text()
    finally:
        job.kill()
    assert_same(workdir, quiet)


HOSTS = "127.0.0.1 localhost\n10.9.0.1 host1\n10.9.0.2 host2\n"


@pytest.fixture
def hosts(tmp_path):
    with clusters.network(tmp_path) as two:
        yield two


def test_cut_link(hosts, quiet, tmp_path):
    """Both hosts notice, with one status and one sentence each."""
    workdir = tmp_path / "run"
    more = (*RUN, *local_data(quiet.parent), f"--workdir={workdir}")
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
    assert second.wait(60) == 2, hosts.logs()
    assert what in hosts.logs()[1]
    assert "Traceback" not in hosts.logs()[1]
