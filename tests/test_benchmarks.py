"""The benchmarks count and measure what they say."""

import importlib.util
import json
import pathlib
import random
import re
import subprocess
import time
import types

import jax
import ml_collections
import numpy as np
import pytest

from benchmarks import alternation, flops, operations, ours, records, upsampling
from cyclegan_jax.core.networks import convolutions


def test_work_of_the_published_networks():
    """Against the published 49.55 and 3.15 billion multiply-adds at 256x256."""
    assert flops.generator(256, 9) == pytest.approx(2 * 49.55e9, rel=1e-3)
    assert flops.discriminator(256) == pytest.approx(2 * 3.15e9, rel=2e-3)


def sleeper(seconds):
    runs = []

    def run():
        runs.append(seconds)
        time.sleep(seconds)

    return run, lambda: {"runs": len(runs)}


def test_contestants_take_turns(monkeypatch):
    monkeypatch.setattr(alternation, "SETTLE", 0.0)
    contestants = [
        alternation.Contestant(name, sleeper, {"seconds": seconds})
        for name, seconds in (("fast", 0.01), ("slow", 0.1))
    ]
    results = alternation.alternate(contestants, rounds=3, warmup=1)
    assert results["fast"].median < results["slow"].median
    assert 0.1 <= results["slow"].median < 0.5
    assert results["fast"].facts["runs"] == 4
    assert len(results["slow"].seconds) == 3


def failing():
    raise ValueError("no such thing")


def test_a_contestant_that_fails_ends_the_benchmark():
    contestant = alternation.Contestant("broken", failing, {})
    with pytest.raises(SystemExit, match="broken ended early"):
        alternation.alternate([contestant], rounds=1)


def test_records(tmp_path):
    path = tmp_path / "results" / "x.jsonl"
    for value in (1, 2):
        records.append(path, records.environment("cpu") | {"value": value})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["value"] for line in lines] == [1, 2]
    assert lines[0]["versions"]["jax"]


def test_forms_of_the_upsampling_gradient_agree():
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (1, 8, 8, 4))
    kernel = jax.random.normal(keys[1], (3, 3, 4, 2))
    forms = convolutions.conv_transpose, upsampling.derived
    first, second = (upsampling.seconds(form, x, kernel)[1] for form in forms)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-4)


def test_stages_of_the_gpu_script_exist():
    script = pathlib.Path(ours.__file__).with_name("gpu_minutes.sh")
    subprocess.run(["bash", "-n", script], check=True)
    modules = set(re.findall(r"-m (benchmarks\.\w+)", script.read_text()))
    assert len(modules) == 4
    for module in modules:
        assert importlib.util.find_spec(module)


@pytest.mark.slow
def test_our_program_is_the_real_step():
    """It is built and takes what it is given."""
    config = ours.make_config(32, 1, batch=2, identity=False)
    config.generator.width = config.discriminator.width = 4
    _, step, make_state, make_batch = ours.build(config)
    state, pools = make_state()
    after, pools, metrics = jax.eval_shape(step, state, pools, *make_batch())
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(
        lambda x: x.shape, state
    )
    assert "cycle_a" in metrics
    assert "identity_a" not in metrics
    _, step, _, make_batch = ours.build(config, scan=3)
    again, _, metrics = jax.eval_shape(step, state, pools, *make_batch())
    assert again == after
    assert metrics["cycle_a"].shape == (3,)


def test_kinds_of_operations():
    program = """
  %conv.1 = f32[7,7]{1,0} convolution(%a, %b), metadata={op_name="jit(f)/conv"}
  ROOT %dot.2 = (f32[7]{0}, s32[]) dot(%a), metadata={op_name="jit(f)/conv/mul"}
  %fusion.3 = f32[] fusion(%a), calls=%x, metadata={op_name="f/block_0/InstanceNorm_0"}
  %call.4 = f32[] call(%a), to_apply=%y, metadata={op_name="f/optimizer/add"}
  %fusion.5 = f32[] fusion(%a), calls=%y, metadata={op_name="f/optimizer/add"}
  %copy.6 = f32[] copy(%a)
"""
    assert operations.kinds_of(program) == {
        "conv.1": "convolutions",
        "dot.2": "matrix products (Winograd's, kernel gradients)",
        "fusion.3": "norms",
        "fusion.5": "Adam",
        "copy.6": "all else (activations, copies)",
    }


def test_comparison_of_trained_alike():
    """Against a paired t-test worked out by hand: t(0.975, 2) = 4.303."""
    pytest.importorskip("torch")
    from benchmarks import trained_alike

    row = trained_alike.compare([1.0, 2.0, 4.0], [1.0, 1.0, 2.0])
    assert row == ["2.333 ± 1.528", "1.333 ± 0.577", "+1.000 (-1.484 to +3.484)"]
    assert trained_alike.compare([0.5], [0.25]) == ["0.500", "0.250", "one seed"]


def test_epochs_of_the_oracle():
    """Every image of A once in an epoch, B at random; flips of both kinds."""
    pytest.importorskip("torch")
    from benchmarks import trained_alike

    config = ml_collections.ConfigDict(
        {"data": {"load_size": 4, "crop_size": 4, "flip": True}}
    )
    columns = np.arange(4, dtype=np.uint8)[None, :, None]
    images = [np.tile(columns + 10 * i, (4, 1, 3)) for i in range(9)]
    source = types.SimpleNamespace(train_a=images, train_b=images[:5])
    drawn = [*trained_alike.pairs(config, source, random.Random(0))]
    pixels = [np.rint((a[0, 0, :, 0] + 1) * 127.5).astype(int) for a, _ in drawn]
    assert sorted(row.min() for row in pixels) == [10 * i for i in range(9)]
    assert {row[1] > row[0] for row in pixels} == {True, False}
    assert all(((b + 1) * 127.5).max() < 44 for _, b in drawn)
    assert {a.shape for a, _ in drawn} == {(1, 4, 4, 3)}


@pytest.mark.parametrize(
    "flag", ["--config.loss.cycle_a=5", "--config.pool_size", "-x"]
)
def test_settings_that_only_one_would_follow(flag, monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    from benchmarks import trained_alike

    monkeypatch.setattr("sys.argv", ["trained_alike", f"--output={tmp_path}", flag])
    with pytest.raises(SystemExit):
        trained_alike.main()
    assert f"{flag}: not a setting" in capsys.readouterr().err
