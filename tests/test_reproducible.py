"""The same run twice, what run.json keeps of it, and how differences are found."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from configs import streets
from cyclegan_jax.data import load_dataset
from cyclegan_jax.data.fingerprint import fingerprint as of_data
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import save_png
from cyclegan_jax.fingerprint import __main__ as fingerprint
from cyclegan_jax.machine import environment, hosts
from cyclegan_jax.runs import comparing, integrity
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.integrity import DamagedCheckpoint
from cyclegan_jax.runs.recovery import set_damaged_aside
from cyclegan_jax.training import loop, reproduce
from tests import processes


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A run in one process, and the same again in another."""
    folder = tmp_path_factory.mktemp("twice")
    command = ("train.py", *processes.TINY, "--config.max_steps=6")
    workdirs = [folder / name for name in ("first", "second")]
    for workdir in workdirs:
        processes.run((*command, f"--workdir={workdir}"), devices=2)
    return workdirs


def told(runs):
    return fingerprint.main(fingerprint.parser().parse_args(runs))


@pytest.mark.slow
def test_the_same_run_twice_is_the_same_bit_for_bit(twice, capsys):
    first, second = twice
    assert told([str(first), str(second)]) == 0
    assert "The two are the same, bit for bit." in capsys.readouterr().out
    for name in ("metrics.jsonl", "samples/step_00000004.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.slow
def test_a_run_that_ends_earlier(twice, tmp_path, capsys):
    shutil.copytree(twice[0], tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "checkpoints" / "6")
    assert told([str(twice[0]), str(tmp_path / "part")]) == 0
    assert "up to step 4; one continues to 6." in capsys.readouterr().out


@pytest.mark.slow
def test_every_part_has_digits(twice, capsys):
    assert told([str(twice[0])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("step")] == ["step 4", "step 6"]
    parts = {line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    networks = ("g_ab", "g_ba", "d_a", "d_b")
    kinds = ("params", "opt_state")
    assert {f"{kind}/{name}" for kind in kinds for name in networks} < parts
    assert {"pool/fake_a", "pool/fake_b", "order of the next batches"} < parts


def change(workdir, other, part):
    """Copies a run, with one bit of one array changed."""
    import jax

    from cyclegan_jax.runs.checkpoints import Checkpoints

    shutil.copytree(workdir, other)
    shutil.rmtree(other / "checkpoints" / "6")
    with Checkpoints(workdir / "checkpoints", read_only=True) as old:
        tree, extra = old.load_arrays(6)
    tree = jax.tree.map(np.array, tree)
    leaf = jax.tree.leaves(part(tree))[0]
    leaf.reshape(-1).view(np.uint8)[0] ^= 1
    with Checkpoints(other / "checkpoints") as new:
        new.save(6, tree, extra)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "name"),
    [
        (lambda tree: tree["state"]["params"]["g_ab"], "params/g_ab"),
        (lambda tree: tree["state"]["opt_state"]["d_b"], "opt_state/d_b"),
        (lambda tree: tree["pools"]["fake_a"], "pool/fake_a"),
    ],
)
def test_one_bit_is_found(twice, tmp_path, part, name, capsys):
    change(twice[0], tmp_path / "other", part)
    assert told([str(twice[0]), str(tmp_path / "other")]) == 1
    out = capsys.readouterr().out
    assert out == f"checkpoints: first at step 6, in {name}\n"


@pytest.mark.slow
def test_another_seed_differs_from_the_first_line_on(twice, tmp_path, capsys):
    config = run_folder.load_config(twice[0])
    config.seed = 1
    assert loop.train(config, tmp_path / "other") == 0
    assert told([str(twice[0]), str(tmp_path / "other")]) == 1
    out = capsys.readouterr().out
    assert "metrics.jsonl: first at step 2, cycle_a: " in out
    assert "checkpoints: first at step 4, in " in out
    assert "opt_state/d_a" in out
    assert "order of the next batches" in out


@pytest.mark.slow
def test_run_json_says_what_a_rerun_needs(twice):
    about = run_folder.read_about(twice[0])
    assert about["config"] == run_folder.read_config(twice[0])
    assert about["seed"] == 0
    assert about["packages"]["jax"] == about["packages"]["jaxlib"]
    assert about["devices"] == ["cpu", "cpu"]
    assert about["variables"]["JAX_NUM_CPU_DEVICES"] == "2"
    assert about["data"]["train_a"]["images"] == 16 // 2  # max_images of smoke.
    assert len(about["data"]["test_b"]["sha256"]) == 64


@pytest.mark.slow
def test_reproduce(twice, tmp_path, monkeypatch, capsys):
    """Differences are listed; the config is the same, whatever files say today."""
    about = run_folder.read_about(twice[0])
    about["packages"]["jax"] = "0.0.1"
    about["variables"] = {}
    about["went_on"] = [{"after_step": 2, "changed": ["machine: x -> y"]}]
    (tmp_path / "run.json").write_text(json.dumps(about))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    assert reproduce.reproduce(tmp_path / "run.json", tmp_path / "again") == 0
    out = capsys.readouterr().out
    assert "packages.jax: 0.0.1 -> " in out
    assert "variables.XLA_FLAGS: (none) -> " in out
    assert "was resumed after step 2: machine: x -> y." in out
    assert run_folder.read_config(tmp_path / "again") == about["config"]


def test_going_on_elsewhere_leaves_a_trace(tmp_path, monkeypatch):
    run_folder.create(tmp_path, {"seed": 3})
    began = run_folder.read_about(tmp_path)
    run_folder.record_resume(tmp_path, 4, {"seed": 3}, {})
    assert run_folder.read_about(tmp_path) == began
    there = environment.describe() | {"processes": 2}
    monkeypatch.setattr(environment, "describe", lambda: there)
    run_folder.record_resume(tmp_path, 5, {"seed": 3}, {})
    run_folder.record_resume(tmp_path, 7, {"seed": 3}, {})  # Still there.
    monkeypatch.undo()
    run_folder.record_resume(tmp_path, 9, {"seed": 3}, {})
    about = run_folder.read_about(tmp_path)
    assert about.pop("went_on") == [
        {"after_step": 5, "changed": ["processes: 1 -> 2"]},
        {"after_step": 9, "changed": []},
    ]
    assert about == began
    assert run_folder.resumptions({"went_on": [3, {"changed": 4}]}) == []


@pytest.mark.slow
def test_what_is_reproduced_is_the_run_as_it_ended(twice, tmp_path):
    """It was extended, and its data have moved: run.json has how it began."""
    about = run_folder.read_about(twice[0])
    now = run_folder.read_config(twice[0])
    now["max_steps"], now["data"]["path"] = 9, "/elsewhere"
    (tmp_path / "config.json").write_text(json.dumps(now))
    (stage,) = reproduce.stages(tmp_path, about)
    assert (stage.max_steps, stage.data.path) == (9, "/elsewhere")
    now["seed"] = 5
    (tmp_path / "config.json").write_text(json.dumps(now))
    (stage,) = reproduce.stages(tmp_path, about)
    assert stage.to_dict() == about["config"]
    del about["config"]["data"]["palette"]  # From before there was that setting.
    (stage,) = reproduce.stages(tmp_path, about)
    assert stage.data.palette == ""


@pytest.mark.slow
def test_stages_of_a_run_whose_settings_changed(twice, tmp_path):
    about = run_folder.read_about(twice[0])
    rate, name = about["config"]["optimizer"]["learning_rate"], "learning_rate"
    changes = {f"optimizer.{name}": [rate, 1e-5], "loss.cycle_a": [4.0, 3.0]}
    notes = [
        {"after_step": 2, "changed": [], "settings": changes},
        {"after_step": 3, "changed": []},
        {"after_step": 5, "changed": [], "settings": {"loss.cycle_a": [3.0, 2.0]}},
    ]
    stages = reproduce.stages(tmp_path, about | {"went_on": notes})
    ends = [stage.max_steps for stage in stages]
    assert ends == [2, 5, about["config"]["max_steps"]]
    assert [stage.optimizer[name] for stage in stages] == [rate, 1e-5, 1e-5]
    assert [stage.loss.cycle_a for stage in stages] == [4.0, 3.0, 2.0]


@pytest.mark.slow
def test_reproduce_by_flag(twice, tmp_path):
    path, workdir = twice[0] / "run.json", tmp_path / "again"
    command = ("train.py", f"--reproduce={path}", f"--workdir={workdir}")
    (output,) = processes.run(command, devices=2)
    assert f"Everything is as {path} says" in output or "not committed" in output
    assert comparing.compare(twice[0], workdir) == []
    bad = (*command, "--config=configs/streets.py")
    job = processes.start(bad)
    (output,) = processes.finish(job)
    assert job[0].returncode == 2
    assert "leave out --config" in output


@pytest.mark.slow
def test_reproduce_with_other_images(twice):
    about = run_folder.read_about(twice[0])
    config = run_folder.load_config(twice[0])
    assert reproduce.other_data(about, config) == []
    about["data"]["train_b"]["sha256"] = "0" * 64
    (line,) = reproduce.other_data(about, config)
    assert line.startswith("data.train_b: {")


def test_sums_of_flipped_signs():
    """Changes that are equal and opposite in the bits must not cancel."""
    rng = np.random.default_rng(0)
    array = rng.normal(size=(8, 6)).astype(np.float32)
    first = integrity.checksums_of({"a": array})
    for other in (-array, array[::-1], np.where(array > 0, -array, array), array.T):
        assert integrity.checksums_of({"a": other.copy()}) != first
    assert integrity.checksums_of({"a": array.copy()}) == first


@pytest.mark.parametrize("content", ['{"score": 0.', "[]", "{}", '{"score": null}'])
def test_a_damaged_score_is_set_aside(tmp_path, content):
    """Its checkpoint stays, and so does the run."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, keep_best=min) as checkpoints:
        checkpoints.save(3, {"x": np.ones(3, np.float32)}, {}, score=0.5)
    (score,) = folder.glob("*/metrics/metrics")
    score.write_text(content)
    with pytest.raises(DamagedCheckpoint, match="score of a checkpoint"):
        Checkpoints(folder)
    (sentence,) = set_damaged_aside(folder, tmp_path / "aside")
    assert "score of checkpoint 3 cannot be read" in sentence
    with Checkpoints(folder, keep_best=min) as checkpoints:
        tree, _ = checkpoints.load_arrays(3)
        assert checkpoints.best_score() is None
    np.testing.assert_array_equal(tree["x"], np.ones(3))


def wrapped(error):
    """As Orbax raises it."""
    try:
        raise LookupError("no handler") from error
    except LookupError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "what", "left"),
    [
        (OSError(errno.EIO, "Input/output error"), "cannot be read now", [3, 4]),
        (ValueError("UNAVAILABLE: no route to host"), "cannot be read now", [3, 4]),
        (ValueError("DATA_LOSS: 3 bytes are missing"), "it is set aside", [3]),
        (ValueError("UNKNOWN: [os_error_code='5']"), "cannot be read now", [3, 4]),
        (ValueError("NOT_FOUND: [os_error_code='2']"), "it is set aside", [3]),
        (FileNotFoundError(errno.ENOENT, "No such file"), "it is set aside", [3]),
        (wrapped(OSError(errno.EIO, "Input/output error")), "read now (", [3, 4]),
        (wrapped(ValueError("a hole")), "it is set aside", [3]),
    ],
)
def test_storage_that_fails_is_no_damage(tmp_path, monkeypatch, error, what, left):
    """What may be sound when the network is back is not moved."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step in (3, 4):
            checkpoints.save(step, {"x": np.ones(3, np.float32)}, {})
    load = ocp.training.Checkpointer.load

    def fail(self, step, *args):
        if step == 4:
            raise error
        return load(self, step, *args)

    monkeypatch.setattr(ocp.training.Checkpointer, "load", fail)
    try:
        (sentence,) = set_damaged_aside(folder, tmp_path / "aside")
    except UserError as raised:
        sentence = str(raised)
    assert what in sentence
    with Checkpoints(folder, read_only=True) as checkpoints:
        assert checkpoints.steps() == left


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"config": 3}', '{"config": {"seed": "x"}}'],
)
def test_reproduce_nothing(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"does not describe a run|seed"):
        reproduce.reproduce(tmp_path / "run.json", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def folder_set(path, value=0):
    for split in ("trainA", "trainB", "testA", "testB"):
        (path / split).mkdir(parents=True, exist_ok=True)
        for index in range(2):
            pixels = np.full((32, 32, 3), index + value, np.uint8)
            save_png(path / split / f"{index}.png", pixels)
    return path


def test_data_have_a_fingerprint(tmp_path):
    path = folder_set(tmp_path / "set")
    before = of_data(load_dataset("folder", path=path))
    assert of_data(load_dataset("folder", path=path)) == before
    (path / "trainA/0.png").rename(path / "trainA/00.png")
    renamed = of_data(load_dataset("folder", path=path))
    assert renamed["train_a"] != before["train_a"]
    assert renamed["train_b"] == before["train_b"]
    save_png(path / "testB/1.png", np.full((32, 32, 3), 9, np.uint8))
    changed = of_data(load_dataset("folder", path=path))
    assert changed["test_b"] != renamed["test_b"]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_data(tmp_path):
    config = streets.get_config("smoke")
    config.generator.width = config.discriminator.width = 4
    config.batch_size, config.max_steps = 2, 2
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.data.dataset = "folder"
    config.data.path = str(folder_set(tmp_path / "set"))
    assert loop.train(config, tmp_path / "run") == 0
    folder_set(tmp_path / "set", value=1)
    config.max_steps = 4
    with pytest.raises(UserError, match=r"images of train_a, .* began with"):
        loop.train(config, tmp_path / "run")


@pytest.mark.parametrize("gpu", [True, False])
def test_deterministic_sets_what_xla_needs(monkeypatch, gpu):
    monkeypatch.setattr(environment, "_has_gpu_plugin", lambda: gpu)
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    environment.make_deterministic(False)
    assert os.environ["XLA_FLAGS"] == "--xla_a=1"
    for _ in range(2):
        environment.make_deterministic(True)
        flag = " --xla_gpu_deterministic_ops=true" if gpu else ""
        assert os.environ["XLA_FLAGS"] == "--xla_a=1" + flag


def test_deterministic_against_flags(monkeypatch):
    monkeypatch.setattr(environment, "_has_gpu_plugin", lambda: True)
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    with pytest.raises(UserError, match="change one of them"):
        environment.make_deterministic(True)


def test_shares_of_processes(monkeypatch):
    monkeypatch.setattr(hosts, "count", lambda: 3)
    for items in range(20):
        for multiple in (1, 4):
            shares = []
            for process in range(3):
                monkeypatch.setattr(hosts.jax, "process_index", lambda p=process: p)
                shares.append(hosts.share(items, multiple=multiple))
            assert [i for share in shares for i in share] == list(range(items))
            assert all(not s or s.start % multiple == 0 for s in shares)
