"""Runs: what they write, and that they go on exactly after any interruption."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal

import jax
import numpy as np
import pytest

from configs import streets
from cyclegan_jax import errors, files
from cyclegan_jax.core import steps
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import interrupts
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs import lease
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.choosing import best_step
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.training import loop, trainer
from tests import slow_but


def smoke(**changes):
    config = streets.get_config("smoke")
    config.batch_size = 2
    config.evaluate_every_steps, config.best_metric = 0, ""  # It takes seconds.
    config.generator.width = config.discriminator.width = 4
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


def final_arrays(workdir, step=8):
    """Loads a checkpoint as it is, without knowing its networks."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    tree, _ = checkpoints.load_arrays(step)
    checkpoints.close()
    return tree


def assert_same_run(one, two):
    a, b = final_arrays(one), final_arrays(two)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    for name in ("metrics.jsonl", "samples/step_00000008.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    assert loop.train(smoke(), workdir) == 0
    return workdir


def test_run_folder(finished):
    lines = [json.loads(x) for x in (finished / "metrics.jsonl").open()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    terms = "cycle_a cycle_b d_a d_b g_ab g_ba identity_a identity_b learning_rate"
    assert set(lines[0]) == {"step", *terms.split()}
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "run.json", "index.html", "timing.jsonl"} <= names
    samples = sorted(path.name for path in (finished / "samples").iterdir())
    assert samples == [f"step_{step:08d}.png" for step in (0, 4, 8)]
    assert run_folder.read_config(finished)["batch_size"] == 2
    described = json.loads((finished / "run.json").read_text())
    assert described["packages"]["jax"] == jax.__version__
    assert list((finished / "tensorboard").iterdir())


def test_finished_run_does_nothing(finished, capsys):
    before = (finished / "metrics.jsonl").read_bytes()
    assert loop.train(smoke(), finished) == 0
    assert "Already finished" in capsys.readouterr().out
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_same_run_twice_is_the_same(finished, tmp_path):
    assert loop.train(smoke(), tmp_path / "again") == 0
    assert_same_run(finished, tmp_path / "again")


def stop_after(step, patch, number=signal.SIGTERM):
    """Has the training get a signal after a step."""
    add = loop.Trainer.record

    def interrupting(trainer, metrics):
        add(trainer, metrics)
        if trainer.step == step:
            os.kill(os.getpid(), number)

    patch.setattr(loop.Trainer, "record", interrupting)


@pytest.mark.parametrize(
    "number", slow_but([signal.SIGTERM], [signal.SIGINT, signal.SIGTERM])
)
def test_interrupted_run_goes_on_exactly(finished, tmp_path, monkeypatch, number):
    """Stopped in the middle of a logging interval, then resumed."""
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(3, patch, number)
        assert loop.train(smoke(), workdir) == 128 + number
    assert Checkpoints(workdir / "checkpoints").steps() == [3]
    assert loop.train(smoke(), workdir) == 0
    assert_same_run(finished, workdir)


def test_losses_that_come_or_go_on_resuming():
    """Such as those of discriminator.monitor, within a logging interval."""
    trainer = object.__new__(loop.Trainer)
    trainer.step, trainer.pending = 3, [{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"c": 2.0}]
    assert trainer.take_losses() == {"a": 2.0, "b": 5.0, "c": 2.0}
    assert trainer.pending == []


def test_crashed_run_goes_on_exactly(finished, tmp_path, monkeypatch):
    """Dead without a word in step 6: back to checkpoint 4, no line lost or doubled."""
    add = loop.Trainer.record

    def crashing(trainer, metrics):
        add(trainer, metrics)
        if trainer.step == 7:
            raise RuntimeError("killed")

    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "record", crashing)
        with pytest.raises(RuntimeError):
            loop.train(smoke(), workdir)
    assert '"step": 6' in (workdir / "metrics.jsonl").read_text()
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "cyc')  # A torn line, too.
    assert loop.train(smoke(), workdir) == 0
    assert_same_run(finished, workdir)


@pytest.mark.slow
def test_old_checkpoints_go(tmp_path):
    config = smoke(checkpoint_every_steps=1, keep_checkpoints=2, keep_every_steps=3)
    assert loop.train(config, tmp_path / "run") == 0
    assert Checkpoints(tmp_path / "run/checkpoints", keep=9).steps() == [3, 6, 7, 8]


@pytest.mark.slow
def test_not_finite_loss_is_named(tmp_path):
    config = smoke(**{"optimizer.learning_rate": 1e30})
    with pytest.raises(UserError, match=r"loss \w+ became (nan|inf) in step [23]"):
        loop.train(config, tmp_path / "run")
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == []


def test_another_config_is_refused(finished):
    with pytest.raises(UserError, match=r"loss\.cycle_a: 4\.0 -> 5\.0"):
        loop.train(smoke(**{"loss.cycle_a": 5.0}), finished)


def test_checkpoint_of_another_network_is_refused(finished, tmp_path):
    """As after editing config.json, or copying checkpoints between runs."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "checkpoints").symlink_to(finished / "checkpoints")
    with pytest.raises(UserError, match=r"another network: .*g_ab"):
        loop.train(smoke(**{"generator.width": 8}), workdir)


@pytest.mark.slow
def test_checkpoint_that_does_not_fit(finished, tmp_path):
    """Files stop growing, as on a full disk: the checkpoint before stays valid."""
    workdir = tmp_path / "run"
    assert loop.train(smoke(max_steps=4), workdir) == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    slowest = "jax_persistent_cache_min_compile_time_secs"
    kept = getattr(jax.config, slowest)
    jax.config.update(slowest, 1e9)  # Part of a program would be kept.
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot be written .* still valid"):
            loop.train(smoke(), workdir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update(slowest, kept)
    assert Checkpoints(workdir / "checkpoints").steps() == [4]
    assert loop.train(smoke(), workdir) == 0
    expected = final_arrays(finished)
    jax.tree.map(np.testing.assert_array_equal, final_arrays(workdir), expected)


@pytest.mark.parametrize(("processes", "status"), [(1, 2), (2, errors.TRY_AGAIN)])
def test_second_trainer_is_refused(finished, processes, status, monkeypatch):
    """It leaves alone what the first is writing; a job of several may try again."""
    monkeypatch.setattr(lease, "_patience", lambda: 0.0)
    writing = finished / "checkpoints" / "12.orbax-checkpoint-tmp"
    writing.mkdir()
    before = (finished / "config.json").read_bytes()
    with run_folder.lock(finished):
        monkeypatch.setattr(lease.hosts, "count", lambda: processes)
        with pytest.raises(UserError, match="another process is training") as refused:
            loop.train(smoke(max_steps=99), finished)
    assert errors.explain(refused.value)[1] == status
    assert writing.exists()
    writing.rmdir()
    assert (finished / "config.json").read_bytes() == before


@pytest.mark.parametrize(("processes", "seconds"), [(1, 15), (2, 60 + 15)])
def test_trainer_that_is_ending_is_waited_for(
    tmp_path, processes, seconds, monkeypatch, capsys
):
    monkeypatch.setattr(lease.hosts, "count", lambda: processes)
    with contextlib.ExitStack() as first:
        first.enter_context(run_folder.lock(tmp_path))
        monkeypatch.setattr(lease.time, "sleep", lambda _: first.close())
        with run_folder.lock(tmp_path):
            pass
    assert f"waiting up to {seconds} s for it to end" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["AtoB/class_iou", "BtoA/cycle_l1"])
def test_best_checkpoint_stays(tmp_path, metric, capsys):
    """Though it is neither among the newest nor due; also after a resumption."""
    settings = {"evaluate_every_steps": 1, "best_metric": metric, "max_steps": 6}
    settings |= {"keep_checkpoints": 1, "checkpoint_every_steps": 0}
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(3, patch)
        assert loop.train(smoke(**settings), workdir) == 128 + signal.SIGTERM
    loop.train(smoke(**settings), workdir)
    lines = [json.loads(x) for x in (workdir / "metrics.jsonl").open()]
    found = {x["step"]: x[f"test/{metric}"] for x in lines if f"test/{metric}" in x}
    assert list(found) == list(range(1, 7))
    best = (min if "l1" in metric else max)(found, key=found.get)
    assert Checkpoints(workdir / "checkpoints").steps() == sorted({best, 6})
    assert best_step(workdir, metric) == best
    (workdir / f"checkpoints/{best}/metrics/metrics").write_text('{"score": 0.')
    assert loop.train(smoke(**settings | {"max_steps": 7}), workdir) == 0
    assert f"the score of checkpoint {best} cannot be read" in capsys.readouterr().err


def test_unknown_best_metric(tmp_path):
    with pytest.raises(UserError, match="best_metric is 'per_pixel'; it can be"):
        loop.train(smoke(best_metric="per_pixel"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    settings = {"best_metric": "AtoB/fid_clean_test", "evaluate_every_steps": 2}
    with pytest.raises(UserError, match="is not measured on these data; it can be one"):
        loop.train(smoke(**settings), tmp_path / "run")
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == [2]


def test_bad_test_image_costs_no_training(tmp_path, monkeypatch):
    """It shows at the final evaluation; the checkpoint is there nevertheless."""

    def unreadable(*args):
        raise UserError("image 7 cannot be decoded")

    monkeypatch.setattr(loop.Loop, "_evaluate", unreadable)
    config = smoke(max_steps=3, checkpoint_every_steps=0, evaluate_every_steps=5)
    with pytest.raises(UserError, match="image 7"):
        loop.train(config, tmp_path / "run")
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == [3]


def test_damaged_checkpoint(tmp_path):
    workdir = tmp_path / "run"
    assert loop.train(smoke(max_steps=2), workdir) == 0
    for path in (workdir / "checkpoints").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(UserError, match=r"checkpoints/2 cannot be read .*delete that"):
        loop.train(smoke(max_steps=4), workdir)


@pytest.mark.slow
def test_start_from_another_run_only_once(finished, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(finished, first)
    config = smoke(init_from=str(first), max_steps=2)
    assert loop.train(config, second) == 0
    shutil.rmtree(first)
    assert loop.train(smoke(init_from=str(first), max_steps=4), second) == 0


def test_images_that_a_device_computes_at_a_time(tmp_path, monkeypatch):
    """On what XLA's options depend: its share, in parts."""

    def compile_early(step, arguments, images):
        raise KeyError(images)

    monkeypatch.setattr(trainer, "compile_early", compile_early)
    batch_size = 8 * jax.device_count()
    with pytest.raises(KeyError, match="2"):
        loop.train(smoke(batch_size=batch_size, accumulate=4), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 3}, "use a multiple of 2"),
        ({"accumulate": 2}, "use a divisor"),
        ({"data.crop_size": 30}, "multiple of 4"),
        ({"data.crop_size": 8, "data.load_size": 8}, "at least 12 pixels"),
        ({"data.dataset": "horses"}, "horses"),
        ({"data.path": "/nowhere", "data.dataset": "folder"}, "/nowhere"),
        ({"loss.gan_mode": "gan"}, "lsgan, vanilla"),
        ({"loss.cycle_a": -1.0}, r"loss\.cycle_a is -1\.0; it must be 0 or more"),
        ({"pool_size": -1}, "pool_size is -1"),
        ({"seed": 2**32}, "it must be 0 to 4294967295"),
        ({"optimizer.step_epochs": 0}, "it must be 1 or more"),
        ({"generator.width": 0}, "generator.width is 0"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"log_every_steps": 0}, "log_every_steps is 0"),
        ({"ema_decay": 2.0}, "it must be 0 to 1"),
        (
            {"optimizer.constant_epochs": 0, "optimizer.decay_epochs": 0},
            "nothing to train",
        ),
        ({"init_from": "/nowhere"}, "/nowhere holds no run"),
        ({"optimizer.policy": "plateau"}, "linear, linear_2020"),
        ({"compute_dtype": "float16"}, "bfloat16"),
        ({"method": "drit"}, "cyclegan, pix2pix"),
        ({"seed": -1}, "it must be 0 to"),
        ({"data.sample_b": "all"}, "random, shuffle"),
        ({"generator.name": "resnet"}, "resnet_<n>blocks"),
    ],
)
def test_bad_settings(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        loop.train(smoke(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # Nothing half-written.


@pytest.mark.slow
@pytest.mark.parametrize("split", ["trainB", "testA"])
def test_corrupt_image(tmp_path, split, capsys):
    """Named, and nothing is written; or left out."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for i in range(3):
            files.save_png(
                tmp_path / "set" / folder / f"{i}.png", np.zeros((40, 40, 3), np.uint8)
            )
    bad = tmp_path / "set" / split / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    changes = {"data.dataset": "folder", "data.path": str(tmp_path / "set")}
    with pytest.raises(UserError, match=rf"{split}/1\.png .*cannot be decoded"):
        loop.train(smoke(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    changes |= {"data.on_corrupt": "skip", "max_steps": 2}
    assert loop.train(smoke(**changes), tmp_path / "run") == 0
    assert f"left out: image {split}/1.png" in capsys.readouterr().err


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert loop.train(smoke(max_steps=4), "runs/here") == 0
    assert Checkpoints("runs/here/checkpoints").steps() == [4]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --workdir"):
        loop.train(smoke(), tmp_path / "file" / "run")


@pytest.mark.slow
def test_identity_is_skipped_for_different_channels(tmp_path, capsys):
    config = smoke(**{"data.channels_b": 1}, max_steps=2)
    assert loop.train(config, tmp_path / "run") == 0
    assert "loss.identity=0.5 does not apply" in capsys.readouterr().out
    line = json.loads((tmp_path / "run/metrics.jsonl").open().readline())
    assert "identity_a" not in line


def test_second_signal_is_not_caught():
    with interrupts.Interrupts() as caught:
        signal.raise_signal(signal.SIGTERM)
        assert caught.name == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_every_config_has_a_smoke_variant():
    import importlib
    import pathlib

    folder = pathlib.Path(__file__).parent.parent / "configs"
    names = sorted(path.stem for path in folder.glob("*.py"))
    names = [name for name in names if name not in ("__init__", "default")]
    assert len(names) >= 13
    for name in names:
        module = importlib.import_module(f"configs.{name}")
        full, tiny = module.get_config(), module.get_config("smoke")
        assert tiny.max_steps == 8
        assert full.data.dataset == tiny.data.dataset
        assert f"configs/{name}.py" in module.__doc__
        with pytest.raises(ValueError, match="smoke"):
            module.get_config("tiny")


def test_step_is_traced_once(tmp_path, monkeypatch):
    calls = []
    train_step = steps.train_step

    def counting(*args, **kwargs):
        calls.append(1)
        return train_step(*args, **kwargs)

    monkeypatch.setattr(steps, "train_step", counting)
    assert loop.train(smoke(max_steps=6), tmp_path / "run") == 0
    assert len(calls) == 1


def test_steps_neither_compile_again_nor_wait(tmp_path, monkeypatch):
    """Only a report may fetch an array, and only the first step compiles."""
    traced, fetched = [], []
    step, advance = steps.train_step, loop.Trainer.advance
    array = type(jax.numpy.zeros(()))
    value = array._value  # JAX's guard of transfers does not see those of CPUs.

    def tracing(*args, **kwargs):
        traced.append(len(fetched))
        return step(*args, **kwargs)

    def fetching(self):
        fetched.append(self.shape)
        return value.fget(self)

    def guarded(self, batch):
        before = len(fetched)
        if self.step:
            with jax.transfer_guard("disallow"):
                advance(self, batch)
        else:
            advance(self, batch)
        assert len(fetched) == before

    monkeypatch.setattr(steps, "train_step", tracing)
    monkeypatch.setattr(array, "_value", property(fetching))
    monkeypatch.setattr(loop.Trainer, "advance", guarded)
    config = smoke(log_every_steps=4, sample_every_steps=0, checkpoint_every_steps=0)
    assert loop.train(config, tmp_path / "run") == 0
    assert len(traced) == 1
    assert fetched  # By the reports: the trap works.


@pytest.mark.slow
def test_a_save_compiles_nothing_large(tmp_path, caplog):
    """A job may have few seconds left for it."""
    run = loop.Trainer(Experiment.of(smoke(ema_decay=0.5)), tmp_path / "run")
    run.open()
    with run.checkpoints, jax.log_compiles():
        run.advance(run.batches[0])
        caplog.clear()
        run.save()
        done = re.findall(r"Compiling jit\((\w+)\)", caplog.text)
    assert set(done) <= {"slice"}  # Orbax's, of milliseconds.
