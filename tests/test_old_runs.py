"""The folder of a run of commit f436452, four of eight steps done, used by this code.

`run_of_f436452.zip` is streets.py:smoke with networks of width 4 and pools of 2;
`metrics_after_resuming.jsonl` in it is what that commit wrote when it did the rest.
"""

import json
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import evaluation
from cyclegan_jax.errors import UserError
from cyclegan_jax.export import exporting
from cyclegan_jax.runs import configuration
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.choosing import choose_step, list_steps
from cyclegan_jax.runs.setting import Change, Setting
from cyclegan_jax.runs.settings import SETTINGS
from cyclegan_jax.training import loop, reproduce
from cyclegan_jax.translation import files as translation

GOLDEN = pathlib.Path(__file__).parent / "run_of_f436452.zip"
NEW = {
    "loss.newer": Setting("as ever", "A setting that the run is older than."),
    "newest": Setting(3, "Another.", change=Change.NEVER),
}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The folder; settings were added since."""
    for name, setting in NEW.items():
        monkeypatch.setitem(SETTINGS, name, setting)
    with zipfile.ZipFile(GOLDEN) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def config(old):
    config = run_folder.load_config(old)
    config.batch_size, config.max_steps = 1, 8
    return config


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_it_resumes_as_then(old, config):
    with pytest.raises(UserError, match="--devices=1"):
        loop.train(config, old)
    assert loop.train(config, old, devices=1) == 0
    then = lines(old / "metrics_after_resuming.jsonl")
    now = lines(old / "metrics.jsonl")
    for line, expected in zip(now, then, strict=True):
        assert set(line) >= set(expected)
        names = [name for name in line if not name.startswith("test/")]
        values = [line[name] for name in names]
        np.testing.assert_allclose(values, [expected[n] for n in names], rtol=1e-4)
    saved = run_folder.read_config(old)
    assert (saved["loss"]["newer"], saved["newest"]) == ("as ever", 3)


def test_its_networks_are_used(old, tmp_path):
    step = choose_step(old, "latest")
    assert step == 4
    result = evaluation.evaluate(old, step)
    assert result["AtoB"]["per_pixel"] == pytest.approx(
        lines(old / "metrics.jsonl")[-1]["test/AtoB/per_pixel"], abs=2e-3
    )
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "a.png")
    translation.translate([str(tmp_path / "a.png")], tmp_path / "out", workdir=old)
    assert (tmp_path / "out/a.png").exists()
    assert "Wrote" in exporting.export(old, tmp_path / "g.stablehlo")
    (stage,) = reproduce.stages(old, run_folder.read_about(old))
    configuration.check(stage)


def test_what_a_resumed_run_can_change(old, config):
    def check(**options):
        return run_folder.check(old, config.to_dict(), **options)

    assert check() == {}
    config.remat, config.accumulate = True, 2
    assert check() == {"accumulate": (1, 2), "remat": (False, True)}
    config.optimizer.learning_rate = 1e-4
    config.optimizer.constant_epochs = 5
    with pytest.raises(UserError, match="--allow_changes") as refused:
        check()
    assert "optimizer.constant_epochs: 1 -> 5" in str(refused.value)
    assert check(allow_changes=True)["optimizer.learning_rate"] == (2e-4, 1e-4)
    config.generator.width = 5
    with pytest.raises(UserError, match="another --workdir for another run\\."):
        check(allow_changes=True)


def test_a_setting_that_removes_networks_leaves_the_run_as_it_is(old, config):
    """A weight of 0 takes the discriminators away; nothing says so before."""
    config.loss.gan = 0.0
    before = (old / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"another network: .*--workdir"):
        loop.train(config, old, allow_changes=True, devices=1)
    assert (old / "config.json").read_bytes() == before
    assert list_steps(old) == [4]


def test_a_run_without_checkpoint_can_start_from_anything(old, config):
    (old / "checkpoints/4").rename(old / "elsewhere")
    config.generator.width = 5
    assert run_folder.check(old, config.to_dict()) == {}


def test_a_setting_of_a_newer_version_is_refused(old, monkeypatch):
    about = run_folder.read_config(old)
    (old / "config.json").write_text(json.dumps(about))
    monkeypatch.delitem(SETTINGS, "loss.newer")
    with pytest.raises(UserError, match=r"no setting loss\.newer"):
        evaluation.evaluate(old)
