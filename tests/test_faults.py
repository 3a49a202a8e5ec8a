"""Faults, injected for real: what a run survives, and that it goes on bit for bit.

pytest -m faults -s prints what happened each time.
"""

import os
import random
import shutil
import signal
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from cyclegan_jax.errors import UserError
from cyclegan_jax.files import save_png
from cyclegan_jax.runs import comparing
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.recovery import set_damaged_aside
from cyclegan_jax.training import loop, trainer
from tests import processes

pytestmark = pytest.mark.faults

STEPS = 1200
TRAIN = (
    "train.py",
    *processes.FASTEST,
    f"--config.max_steps={STEPS}",
    "--config.log_every_steps=7",
    "--config.checkpoint_every_steps=30",
)
KILLS = 10  # By each of two tests.


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults") / "run"
    processes.run((*TRAIN, f"--workdir={workdir}"))
    return workdir


def assert_same_end(one, two):
    first, second = (comparing.of_checkpoint(x, STEPS) for x in (one, two))
    assert first == second
    lines = (one / "metrics.jsonl").read_bytes()
    assert lines == (two / "metrics.jsonl").read_bytes()


def steps_of(workdir):
    """Steps of the checkpoints that a kill has left, and of the lines."""
    folder, path = workdir / "checkpoints", workdir / "metrics.jsonl"
    found = [int(p.name) for p in folder.glob("*") if p.name.isdigit()]
    return max(found, default=0), path.stat().st_size if path.exists() else 0


def wait_for_moment(job, workdir, kind, rng):
    """Waits for a moment to kill a run in; False where it ended before."""
    before, size = steps_of(workdir)
    folder = workdir / "checkpoints"
    while job.poll() is None:
        if kind == "start":
            time.sleep(rng.uniform(0.5, 5.0))
            return job.poll() is None
        if kind == "checkpoint" and list(folder.glob("*tmp*")):
            time.sleep(rng.uniform(0, 0.02))
            return job.poll() is None
        newest, now = steps_of(workdir)
        if kind == "line" and newest > before and now != size:
            time.sleep(rng.uniform(0, 0.2))
            return job.poll() is None
        time.sleep(0.0005)
    return False


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(undisturbed, tmp_path, seed):
    workdir, rng, log = tmp_path / "run", random.Random(seed), []
    kinds = ["start", "checkpoint", "line"]
    for number in range(KILLS):
        kind = kinds[(number + seed) % 3]
        (job,) = processes.start((*TRAIN, f"--workdir={workdir}"))
        caught = wait_for_moment(job, workdir, kind, rng)
        job.kill()
        job.communicate()
        assert caught, f"kill {number} came too late: the run had ended"
        path = workdir / "metrics.jsonl"
        torn = 0
        if kind == "line" and path.exists():  # As if the machine had gone down.
            torn = rng.randrange(1, 40)
            os.truncate(path, max(path.stat().st_size - torn, 0))
        log.append((kind, steps_of(workdir)[0], torn))
    processes.run((*TRAIN, f"--workdir={workdir}"))
    print(f"\n{KILLS} kills (when, newest checkpoint, bytes torn off): {log}")
    assert_same_end(undisturbed, workdir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(undisturbed, tmp_path, number):
    workdir = tmp_path / "run"
    (job,) = processes.start((*TRAIN, f"--workdir={workdir}"))
    assert wait_for_moment(job, workdir, "line", random.Random(0))
    job.send_signal(number)
    job.communicate()
    assert job.returncode == 128 + number
    processes.run((*TRAIN, f"--workdir={workdir}"))
    assert_same_end(undisturbed, workdir)


def test_second_trainer_is_refused(undisturbed, tmp_path):
    workdir = tmp_path / "run"
    (first,) = processes.start((*TRAIN, f"--workdir={workdir}"))
    assert wait_for_moment(first, workdir, "line", random.Random(0))
    first.send_signal(signal.SIGSTOP)  # Otherwise it is over before the other gives up.
    (second,) = processes.start((*TRAIN, f"--workdir={workdir}"))
    (output,) = processes.finish([second])
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"another process is training in {workdir}" in output
    processes.finish([first])
    assert first.returncode == 0
    assert_same_end(undisturbed, workdir)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


def test_disk_full_during_a_checkpoint(undisturbed, small_disk):
    workdir = small_disk / "run"
    command = (*TRAIN, f"--workdir={workdir}", "--config.keep_checkpoints=100")
    (output,) = processes.finish(job := processes.start(command))
    assert job[0].returncode == 2, output[-2000:]
    assert output.count("error: ") == 1, output[-2000:]
    assert "No space left" in output or "no space left" in output
    sound = Checkpoints(workdir / "checkpoints", read_only=True)
    newest = sound.steps()[-1]
    sound.load_arrays(newest)
    sound.close()
    subprocess.run(("mount", "-o", "remount,size=64m", str(small_disk)), check=True)
    processes.run((*TRAIN, f"--workdir={workdir}"))
    assert_same_end(undisturbed, workdir)


# The rest happens inside this process, on smaller runs.


def config_of(workdir, **changes):
    config = run_folder.load_config(workdir)
    config.batch_size = 2  # Of the tests' two devices.
    config.max_steps, config.checkpoint_every_steps = 8, 4
    config.log_every_steps = 2
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def short(undisturbed, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults") / "short"
    assert loop.train(config_of(undisturbed), workdir) == 0
    return workdir


DAMAGES = ("truncate", "flip", "empty", "delete")


def damage(folder, kind, rng):
    """Damages one file of a checkpoint; returns which."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    if kind == "delete":
        path.unlink()
    elif kind == "flip":
        for _ in range(3):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    else:
        left = rng.randrange(len(content)) if kind == "truncate" else 0
        path.write_bytes(content[:left])
    return path.relative_to(folder)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_newest_checkpoint(short, tmp_path, kind, capsys):
    """Found, named and set aside; or what was hit does not matter to any bit."""
    saved, found, harmless = comparing.of_checkpoint(short, 8), 0, []
    for seed in range(10):
        workdir = tmp_path / str(seed)
        shutil.copytree(short, workdir)
        hit = damage(workdir / "checkpoints" / "8", kind, random.Random(seed))
        sentences = set_damaged_aside(workdir / "checkpoints", workdir / "aside")
        if sentences:
            assert len(sentences) == 1
            assert f"{workdir}/checkpoints/8 " in sentences[0]
            assert Checkpoints(workdir / "checkpoints").steps() == [4]
            assert len(list((workdir / "aside").iterdir())) == 1
            found += 1
        elif (workdir / "checkpoints" / "8").exists() and 8 in (
            Checkpoints(workdir / "checkpoints", read_only=True).steps()
        ):
            assert comparing.of_checkpoint(workdir, 8) == saved
            harmless.append(str(hit))
    assert found >= 3
    with capsys.disabled():
        print(f"\n{kind}: {found} of 10 found; harmless: {harmless or 'none'}")


def test_run_goes_on_before_the_damage(short, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(short, workdir)
    for path in (workdir / "checkpoints/8").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-9])
    assert loop.train(run_folder.load_config(short), workdir) == 0
    assert "checkpoints/8 cannot be read" in capsys.readouterr().err
    assert comparing.compare(short, workdir) == []


def test_changed_bits_are_found_though_readable(short, tmp_path):
    """As memory or a disk that lies may leave them: no format notices."""
    with Checkpoints(short / "checkpoints", read_only=True) as old:
        tree, extra = old.load_arrays(8)
    tree = jax.tree.map(np.array, tree)
    target = jax.tree.leaves(tree["state"]["params"]["g_ab"])[-1]
    target.reshape(-1).view(np.uint8)[5] ^= 4
    with Checkpoints(tmp_path / "checkpoints") as new:
        new.save(8, tree, extra)
    with (
        ocp.training.Checkpointer(short / "checkpoints") as old,
        ocp.training.Checkpointer(tmp_path / "checkpoints") as new,
    ):
        described = old.metadata(8).custom_metadata
        new.save(9, tree, custom_metadata=described)
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as both:
        both.load_arrays(8)
        with pytest.raises(UserError, match=r"g_ab.* has other bits than were saved"):
            both.load_arrays(9)


def test_all_checkpoints_damaged(short, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(short, workdir)
    for path in (workdir / "checkpoints").rglob("d/*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="checkpoints/8 cannot be read"):
        loop.train(run_folder.load_config(short), workdir)
    assert (workdir / "checkpoints/8").exists()  # Nothing is moved, nothing restarted.


@pytest.fixture
def folder_config(undisturbed, tmp_path):
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for index in range(8):
            pixels = np.full((36, 36, 3), 20 * index, np.uint8)
            save_png(tmp_path / "set" / split / f"{index}.png", pixels)
    changes = {"data.dataset": "folder", "data.path": str(tmp_path / "set")}
    changes |= {"data.cache_gib": 0.0, "max_steps": 200, "checkpoint_every_steps": 4}
    return config_of(undisturbed, **changes)


@pytest.mark.parametrize("fault", ["vanished", "corrupt"])
def test_data_go_bad_during_training(folder_config, tmp_path, fault, monkeypatch):
    """What was done is saved; with the data back, the run goes on as if nothing was."""
    count, kept = trainer.Trainer.record, tmp_path / "set"
    moved = tmp_path / "elsewhere"

    def spoil(run, metrics):
        count(run, metrics)
        if run.step == 20:
            shutil.copytree(kept, moved)
            if fault == "vanished":
                shutil.rmtree(kept)
            else:
                for path in kept.rglob("*.png"):
                    path.write_bytes(path.read_bytes()[:50])

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "record", spoil)
        with pytest.raises((UserError, OSError), match=r"trainA|trainB"):
            loop.train(folder_config, tmp_path / "run")
    newest = Checkpoints(tmp_path / "run/checkpoints").steps()[-1]
    assert newest >= 20
    shutil.rmtree(kept, ignore_errors=True)
    moved.rename(kept)
    folder_config.max_steps = newest + 2
    assert loop.train(folder_config, tmp_path / "run") == 0
    assert loop.train(folder_config, tmp_path / "whole") == 0
    steps = newest + 2
    first, second = (
        comparing.of_checkpoint(tmp_path / name, steps) for name in ("run", "whole")
    )
    assert first == second


def test_nan_in_a_gradient(undisturbed, tmp_path, monkeypatch):
    """Stopped at the next look, named; the checkpoints are from before."""
    build = Experiment.optimizer

    def spoiled(*args):
        def spoil(updates, state, params=None):
            bad = jnp.where(state == 5, jnp.nan, 0.0)
            return jax.tree.map(lambda x: x + bad, updates), state + 1

        inject = optax.GradientTransformation(lambda params: jnp.int32(0), spoil)
        return optax.chain(inject, build(*args))

    monkeypatch.setattr(Experiment, "optimizer", spoiled)
    with pytest.raises(UserError, match=r"became nan in step 7|is not finite"):
        loop.train(config_of(undisturbed), tmp_path / "run")
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == [4]


def test_clock_going_backwards(short, tmp_path, monkeypatch):
    now = iter(range(2 * 10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    config = run_folder.load_config(short)
    config.max_steps = 4
    assert loop.train(config, tmp_path / "run") == 0
    config.max_steps = 8
    assert loop.train(config, tmp_path / "run") == 0
    monkeypatch.undo()
    assert comparing.compare(short, tmp_path / "run") == []
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (
        short / "metrics.jsonl"
    ).read_bytes()
