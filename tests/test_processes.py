"""Jobs of several processes, and what the number of devices must not change."""

import json
import re
import signal
import socket
import time

import jax
import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.machine import ending
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints, complete_steps
from cyclegan_jax.runs.integrity import cannot_write
from tests import processes
from tests.processes.steps import RATE

STEPS = 50
FINISHED = 40  # Steps of `finished`.
TRAIN = ("train.py", *processes.TINY)


def load(folder, step):
    """A checkpoint's arrays, by path."""
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    tree, _ = checkpoints.load_arrays(step)
    checkpoints.close()
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in flat}


def assert_same_checkpoint(one, two, step):
    one, two = load(one, step), load(two, step)
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def train_steps(folder, num, many, steps=STEPS, more=()):
    """Trains on `num` processes with `many` devices each; returns what they kept."""
    folder.mkdir(exist_ok=True)
    command = ("tests/processes/steps.py", *processes.TINY, f"--output={folder}")
    more = (f"--config.max_steps={STEPS}", *more)
    processes.run((*command, f"--steps={steps}", *more), processes=num, devices=many)
    lines = [line for path in folder.glob("order_*") for line in path.open()]
    kept = dict(np.load(folder / "kept.npz"))
    return kept | {"order": sorted(lines)} | load(folder / "run", steps)


def assert_similar_pools(one_device, kept):
    """Pixels may change by four times what they change most in shaken runs."""
    shaken = np.abs(one_device["pools"] - one_device["shaken_pools"]).max()
    assert shaken < 0.02  # Pixels are in [-1, 1].
    names = [name for name in kept if name.startswith("['pools']")]
    assert len(names) == 4  # Images and counts, of both domains.
    for name in names:
        atol = 0 if "count" in name else 4 * shaken
        change = np.abs(one_device[name] - kept[name]).max()
        print(name, "changes by", change, "of", atol, "allowed")
        assert change <= atol, name


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps") / "one"
    return train_steps(folder, 1, 1, more=("--shaken=3",))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("num", "many"), [(1, 2), (1, 4), (1, 8), (2, 4), (4, 1)])
def test_devices_and_processes_do_not_matter(one_device, num, many, tmp_path):
    """Data and decisions are the same; numbers differ by rounding alone.

    What rounding may do after many steps follows from what it does in one. There, the
    gradients' rounding moves the parameters by less than a unit in the last place, and
    their own by as much. Runs of one device whose every parameter is moved by four such
    units at random after every step show what becomes of that: the devices' number
    must not change a loss by more than four times what it changes most in those.
    """
    kept = train_steps(tmp_path / "run", num, many)
    assert kept["order"] == one_device["order"]
    assert len(kept["order"]) == STEPS * 8
    first, second = one_device["gradient"], kept["gradient"]
    assert np.linalg.norm(first - second) < 1e-4 * np.linalg.norm(first)
    parameters = one_device["parameters"]
    unit = 2.0**-23 * np.linalg.norm(parameters)
    assert RATE * np.linalg.norm(first - second) < unit
    np.testing.assert_allclose(parameters, kept["parameters"], rtol=1e-6, atol=1e-9)
    change = np.abs(one_device["losses"] - kept["losses"])
    shaken = np.abs(one_device["losses"] - one_device["shaken"]).max(axis=0)
    allowed = 4 * np.maximum.accumulate(shaken.max(axis=1)) + 2.0**-18
    print("largest change", change.max(), "of", allowed.max(), "allowed")
    assert np.all(change.max(axis=1) <= allowed)
    # The bound is narrow: a run that does not learn is far outside.
    learnt = np.abs(one_device["losses"] - one_device["losses"][0]).max()
    assert allowed.max() < 0.1 * learnt
    assert_similar_pools(one_device, kept)


@pytest.mark.slow
def test_another_number_of_devices_goes_on(one_device, tmp_path):
    """8 devices write, 1 goes on, then 4 of two processes: as if nothing happened."""
    train_steps(tmp_path / "run", 1, 8, steps=10)
    train_steps(tmp_path / "run", 1, 1, steps=30)
    kept = train_steps(tmp_path / "run", 2, 2)
    notes = run_folder.resumptions(run_folder.read_about(tmp_path / "run" / "run"))
    assert [note["after_step"] for note in notes] == [10, 30]
    assert "processes: 1 -> 2" in notes[1]["changed"]
    assert kept["order"] == [x for x in one_device["order"] if int(x.split()[0]) > 30]
    np.testing.assert_allclose(one_device["losses"][30:], kept["losses"], rtol=1e-4)
    assert_similar_pools(one_device, kept)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run by a job of two processes with two devices each."""
    workdir = tmp_path_factory.mktemp("job") / "run"
    outputs = processes.run(
        (*TRAIN, f"--workdir={workdir}", f"--config.max_steps={FINISHED}"),
        processes=2,
        devices=2,
    )
    assert "4 cpu devices (cpu) on 2 hosts" in outputs[0]
    assert "Finished" not in outputs[1]  # One writes.
    return workdir


def wait_for_step(workdir, step, timeout=300):
    """Waits until a running job has logged a step."""
    path = workdir / "metrics.jsonl"
    wait(lambda: path.exists() and f'"step": {step},' in path.read_text(), timeout)


def wait(condition, timeout=300):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "what a job should do was not seen"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_lost_process_ends_the_job_and_the_next_goes_on(finished, tmp_path, victim):
    workdir = tmp_path / "run"
    command = (*TRAIN, f"--workdir={workdir}", f"--config.max_steps={FINISHED}")
    longer = (*command, "--config.max_steps=100000")
    job = processes.start(longer, processes=2, devices=2)
    wait_for_step(workdir, 6)
    wait(lambda: complete_steps(workdir))  # They are written in the background.
    job[victim].kill()
    start = time.monotonic()
    outputs = processes.finish(job)
    assert time.monotonic() - start < 30
    other = 1 - victim
    assert job[other].returncode == 75, outputs[other][-2000:]
    what = "process 1 on" if victim else r"the main process \(process 0\) is lost"
    assert re.search(f"error: {what}", outputs[other])
    newest = Checkpoints(workdir / "checkpoints", read_only=True).steps()[-1]
    assert 4 <= newest <= FINISHED
    processes.run(command, processes=2, devices=2)
    assert_same_checkpoint(finished, workdir, FINISHED)
    for name in ("metrics.jsonl", f"samples/step_{FINISHED:08}.png"):
        assert (finished / name).read_bytes() == (workdir / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_a_process_whose_launcher_is_gone_ends_too(tmp_path, victim):
    """Nobody reads what it prints, which raises; it must not keep the run's folder."""
    workdir = tmp_path / "run"
    quiet = ("--config.log_every_steps=1000000", "--config.max_steps=1000000")
    command = (*processes.FASTEST, "--config.batch_size=2", *quiet)
    job = processes.start(("train.py", *command, f"--workdir={workdir}"), processes=2)
    wait(lambda: complete_steps(workdir))
    for process in job:
        process.stdout.close()
    job[victim].kill()
    try:
        assert job[1 - victim].wait(60) == 75
    finally:
        job[1 - victim].kill()


@pytest.mark.parametrize(
    ("reason", "waits"),
    [
        ("UNKNOWN: Gloo AllGather failed: Read error: Connection reset by peer", True),
        ("UNKNOWN: Error writing: [os_error_code='28']", False),
        ("No space left on device", False),
    ],
)
def test_a_process_lost_while_a_checkpoint_is_written(tmp_path, reason, waits):
    """TensorStore reports the failed collective; the loss itself is noticed later."""
    try:
        raise ValueError(reason)
    except ValueError as error:
        failure = cannot_write(tmp_path, error)
        failure.__cause__ = error
    assert bool(ending._may_follow_from_loss(failure)) == waits


@pytest.mark.slow
def test_one_of_four_is_lost(tmp_path):
    workdir = tmp_path / "run"
    command = (*TRAIN, f"--workdir={workdir}")
    job = processes.start(
        (*command, "--config.max_steps=100000"), processes=4, devices=1
    )
    wait_for_step(workdir, 6)
    wait(lambda: complete_steps(workdir))
    job[2].kill()
    start = time.monotonic()
    outputs = processes.finish(job)
    assert time.monotonic() - start < 30
    for number in (0, 1, 3):
        assert job[number].returncode == 75, outputs[number][-2000:]
        assert "error: process 2 on" in outputs[number]
    newest = Checkpoints(workdir / "checkpoints", read_only=True).steps()[-1]
    last = newest + 4
    (output, *_) = processes.run(
        (*command, f"--config.max_steps={last}"), processes=4, devices=1
    )
    assert f"Finished steps {newest + 1} to {last}" in output
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line)["step"] for line in lines]
    assert logged == list(range(2, last + 1, 2))  # None lost, none twice.


@pytest.mark.slow
def test_a_signal_to_any_host_stops_all_at_one_step(tmp_path):
    workdir = tmp_path / "run"
    command = (*TRAIN, f"--workdir={workdir}", "--config.max_steps=100000")
    job = processes.start(command, processes=2, devices=1)
    wait_for_step(workdir, 2)
    job[1].send_signal(signal.SIGTERM)
    outputs = processes.finish(job)
    assert [process.returncode for process in job] == [143, 143], outputs[0][-2000:]
    (stopped,) = re.findall(r"Stopped by SIGTERM after steps 1 to (\d+)", outputs[0])
    assert Checkpoints(workdir / "checkpoints").steps()[-1] == int(stopped)
    # Told before its first step, a resumed run stops after it.
    script = "tests/processes/told_before_step.py"
    job = processes.start((script, *command[1:]), processes=2, devices=1)
    outputs = processes.finish(job)
    assert [process.returncode for process in job] == [143, 143], outputs[0][-2000:]
    first = int(stopped) + 1
    assert f"Stopped by SIGTERM after steps {first} to {first}," in outputs[0]


@pytest.mark.slow
def test_a_failing_process_ends_the_job(tmp_path):
    """The second host does not share the first one's storage."""
    folders = [(f"--workdir={tmp_path / name}",) for name in ("one", "other")]
    (tmp_path / "other").mkdir()
    job = processes.start(TRAIN, processes=2, extra=folders)
    start = time.monotonic()
    outputs = processes.finish(job)
    assert time.monotonic() - start < 120
    assert [process.returncode for process in job] == [2, 2]
    assert "--workdir must be on storage that they share" in outputs[1]
    assert re.search("error: stopped by process 1 on .*must be on storage", outputs[0])


@pytest.mark.slow
def test_evaluation_and_translation_on_two_processes(finished, tmp_path):
    command = ("evaluate.py", f"--workdir={finished}", "--inception=none")
    processes.run(command)
    folder = finished / "evaluation" / str(FINISHED)
    alone = json.loads((folder / "metrics.json").read_text())
    pictures = sorted(folder.rglob("*.png"))
    before = [np.asarray(Image.open(path)) for path in pictures]
    processes.run(command, processes=2)
    together = json.loads((folder / "metrics.json").read_text())
    assert sorted(folder.rglob("*.png")) == pictures
    for path, picture in zip(pictures, before, strict=True):
        change = np.asarray(Image.open(path)).astype(int) - picture
        assert np.abs(change).max() <= 1, path  # Rounded the other way.
    assert together.keys() == alone.keys()
    for name in ("AtoB", "BtoA"):
        assert together[name] == pytest.approx(alone[name], rel=1e-2), name
    inputs = folder / "AtoB" / "input"
    count = len(list(inputs.rglob("*.png")))
    output = tmp_path / "out"
    command = ("translate.py", f"--workdir={finished}", f"--output={output}")
    outputs = processes.run((*command, str(inputs)), processes=2)
    shares = [int(re.search(r"Translated (\d+) of", text)[1]) for text in outputs]
    assert sum(shares) == count
    assert min(shares) > 0
    assert len(list(output.rglob("*.png"))) == count


@pytest.mark.parametrize("number", [1, 2])
def test_step_is_compiled_early_and_updates_in_place(number):
    """Once, in the background; then results replace the arguments."""
    command = ("tests/processes/donation.py",)
    for output in processes.run(command, processes=number, devices=2):
        said = re.findall("compiled in the [a-z]+|in place|copied", output)
        # Gloo writes into the lines. The first call has NumPy's arrays.
        assert said[0] == "compiled in the background", output
        assert said[2:] == ["in place"] * 2, output


def test_flags_of_hosts_go_together():
    job = processes.start((*TRAIN, "--coordinator=127.0.0.1:1"))
    (output,) = processes.finish(job)
    assert job[0].returncode == 2
    assert "error: --coordinator, --num_processes and --process_id go" in output


def test_names_and_ports_are_tried_first():
    start = time.monotonic()
    for coordinator, words in (
        ("no-such-host.invalid:1234", "no-such-host.invalid, is not known"),
        ("127.0.0.1", "must be HOST:PORT"),
    ):
        more = (f"--coordinator={coordinator}", "--num_processes=2", "--process_id=1")
        job = processes.start((*TRAIN, *more))
        (output,) = processes.finish(job)
        assert job[0].returncode == 2, output
        assert words in output
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("number", [0, 1])
def test_others_that_do_not_come(number):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    more = (f"--coordinator={coordinator}", "--num_processes=2")
    wait = (f"--process_id={number}", "--initialization_timeout=2")
    job = processes.start((*TRAIN, *more, *wait))
    (output,) = processes.finish(job)
    assert job[0].returncode == 2, output
    said, _, error = output.partition("error: ")
    assert f"waits for the 2 processes of this job at {coordinator}" in said
    assert "--initialization_timeout" in error
    assert "Traceback" not in output
