"""Planning: what compiled programs move, what chips allow, and what is remembered."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import streets
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import xla_options
from cyclegan_jax.machine.pmapped import AXIS
from cyclegan_jax.plan import (
    child,
    chips,
    cost,
    hlo,
    program,
    tables,
    targets,
    traffic,
)
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.training import trainer

ROOT = pathlib.Path(__file__).parent.parent
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)


def small_config():
    config = streets.get_config("smoke")
    config.generator.width = config.discriminator.width = 4
    config.discriminator.n_layers = 1
    config.batch_size = 2
    return config


@pytest.fixture(scope="module")
def step():
    """The planned step of two CPU devices, lowered."""
    return program.lower(small_config(), jax.devices(), 1, steps_per_epoch=4)


@pytest.mark.slow
def test_it_is_the_training_step(step, tmp_path):
    config = small_config()
    run = trainer.Trainer(Experiment.of(config), tmp_path / "run")
    run.open()
    assert run.batches.steps_per_epoch == 4
    batch = run.batches[0] | {"slot": np.array(run.devices.local_slots, np.int32)}
    lowered = run.step_fn.lower(
        run.state, run.pools, run.devices.split(batch), np.uint32(config.seed)
    )
    assert _body(lowered.as_text()) == _body(step.as_text())


def _body(text):
    """A program without the placement of its arguments."""
    return [line for line in text.splitlines() if "func.func public" not in line]


def _state(config):
    experiment = Experiment.of(config)
    optimizer = experiment.optimizer(lambda step: 1.0)
    size = (config.data.crop_size,) * 2
    return experiment.create(optimizer, size, slots=1)[0]


def _dead(path):
    """Whether it is a bias before an instance norm, whose gradient is 0."""
    network, *layer, leaf = (key.key for key in path)
    first = network.startswith("d_") and layer == ["conv_0"]
    return leaf == "bias" and layer != ["conv_out"] and not first


@pytest.mark.slow
def test_the_step_averages_its_gradients_and_losses(step):
    """On two devices: the bytes of all live parameters, and eight losses."""
    compiled = step.compile()
    params = jax.eval_shape(functools.partial(_state, small_config())).params
    leaves = jax.tree_util.tree_leaves_with_path(params)
    expected = 8 + sum(leaf.size for path, leaf in leaves if not _dead(path))
    measured = traffic.collective_bytes(hlo.Program(compiled.as_text()))
    assert measured == 4 * expected
    found = cost.measure(step)
    assert (found.collective, found.fits) == (4 * expected, True)
    memory = compiled.memory_analysis()
    # Donated, all results but the losses and the step take the arguments' place.
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    assert held <= found.memory < 1.1 * held
    assert found.flops == step.cost_analysis()["flops"]


def test_two_devices_add_up():
    """A small program whose traffic is known in closed form, loop included."""

    def step(x, w):
        def body(total, row):
            return total + jax.lax.pmean(row @ w, AXIS), None

        total, _ = jax.lax.scan(body, jnp.zeros(8), x)
        return jax.lax.pmean(w, AXIS), total

    mapped = jax.pmap(step, AXIS, in_axes=(0, None), out_axes=None)
    shapes = (2, 5, 16), (16, 8)
    lowered = mapped.lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    compiled = hlo.Program(lowered.compile().as_text())
    assert traffic.collective_bytes(compiled) == 4 * (5 * 8 + 16 * 8)


def test_main_memory_agrees_with_xla():
    """Where there is one kind of memory, no loop and no slice, XLA counts the same."""

    def function(x, w):
        return jnp.tanh(x @ w) @ w.T, jnp.sort(x, axis=0)

    shapes = (256, 128), (128, 512)
    args = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)
    compiled = jax.jit(function).lower(*args).compile()
    moved = traffic.main_memory_bytes(hlo.Program(compiled.as_text()))
    expected = compiled.cost_analysis()["bytes accessed"]
    assert moved == pytest.approx(expected, rel=0.01)


def test_tiles_memory_spaces_and_loops():
    """The text of a TPU's program: what is counted, by hand."""
    text = (ROOT / "tests/golden/plan_tpu_program.txt").read_text()
    compiled = hlo.Program(text)
    # Five turns of an all-reduce, and an all-gather of 7 floats from 4 chips.
    assert traffic.collective_bytes(compiled) == 5 * (3 * 16 * 2) + 28 * 4
    # A fusion reads a slice; the copy writes it, padded from 100x16 to 104x128; a
    # fusion writes 10x16 in place; the all-reduce reads and writes 3x16, padded to
    # 8x128. What is on the chip is free.
    fusions = 100 * 16 * 4 + 10 * 16 * 4
    expected = fusions + 104 * 128 * 4 + 5 * 2 * (8 * 128 * 2)
    assert traffic.main_memory_bytes(compiled) == expected
    with pytest.raises(ValueError, match="ENTRY"):
        hlo.Program("HloModule nothing")


def settings(*memories, fits=True):
    """Of each a batch, the memory it needs, and how much of that is temporary."""
    return [
        tables.Setting(
            batch,
            remat=False,
            cost=cost.Cost(
                fits, memory, temporary, flops=1e12, moved=1e10, collective=1e8
            ),
        )
        for batch, memory, temporary in memories
    ]


def test_largest_batch():
    # 2 for the state, 1 for temporary arrays, and 3 an image: 5 images need 18.
    one, two = settings((1, 6, 4)), settings((1, 6, 4), (2, 9, 7))
    assert tables.largest_batch(two, usable=18) == 5
    assert tables.largest_batch(two, usable=17.9) == 4
    # Of one alone it cannot know that not all temporary arrays grow: 2 + 4 an image.
    assert tables.largest_batch(one, usable=18) == 4
    assert tables.largest_batch(one, usable=5) == 0
    refused = settings((3, 99, 0), fits=False)
    assert tables.largest_batch(two + refused, usable=18) == 2
    assert tables.largest_batch(refused, usable=18) is None


def test_tables():
    where = chips.Slice.parse("v5e:2x2")
    rows = tables.scaling(settings((1, 5, 1)), where).splitlines()
    assert len(rows) == 1 + len(where.family())
    assert all(len(row) == len(rows[0]) for row in rows)
    local = 1e10 / 819e9
    assert f"{1 / local:,.0f} (100.0%)" in rows[1]
    together = local + 2 * 3 / 4 * 1e8 / 90e9
    assert f"{4 / together:,.0f} ({local / together:.1%})" in rows[2]
    refused = tables.counts(settings((3, 99, 0), fits=False), 50, 40)
    assert "does not fit" in refused
    assert len(tables.times(settings((3, 99, 0), fits=False), where).splitlines()) == 1


def lower_small(scale=2.0):
    return jax.jit(lambda x: scale * x).lower(jnp.ones(3))


def test_costs_are_remembered(tmp_path, monkeypatch):
    first = cost.cached(lower_small(), "here", 1, tmp_path)
    (file,) = tmp_path.iterdir()
    measure = cost.measure
    monkeypatch.setattr(cost, "measure", None)  # It would fail if called.
    assert cost.cached(lower_small(), "here", 1, tmp_path) == first
    monkeypatch.setattr(cost, "measure", measure)
    file.write_text(file.read_text()[:-9])
    again = cost.cached(lower_small(), "here", 1, tmp_path)
    assert dataclasses.replace(again, seconds=first.seconds) == first
    assert json.loads(file.read_text())["fits"] is True


def test_costs_are_remembered_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cost.cached(lower_small(), "here", 1)
    assert len(list((tmp_path / "cyclegan_jax/plan").iterdir())) == 1


def test_options_of_a_step_that_is_planned(tmp_path, monkeypatch):
    """Those for the images that a device computes at a time."""
    target = types.SimpleNamespace(
        title="", memory=1, usable=1, devices=[types.SimpleNamespace(platform="tpu")]
    )
    monkeypatch.setattr(targets, "find", lambda _: target)
    monkeypatch.setattr(program, "lower", lambda *_: None)
    given = []

    def cached(*arguments):
        given.append(arguments[-1])
        return cost.Cost(fits=True, memory=1)

    monkeypatch.setattr(cost, "cached", cached)
    config = small_config()
    for config.accumulate in (2, 4):
        request = {"config": config.to_dict(), "topology": "v5e:1x1", "cache": ""}
        child._answer(request | {"per_device": 4})
    assert given == [xla_options.of_networks("tpu", 2), {}]
    assert given[0]


def test_what_a_cost_depends_on(monkeypatch):
    key = cost.key(lower_small(), "here")
    assert cost.key(lower_small(), "here") == key
    assert cost.key(lower_small(3.0), "here") != key
    assert cost.key(lower_small(), "there") != key
    assert cost.key(lower_small(), "here", {"xla_something": False}) != key
    for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "--xla_something=1")
            assert cost.key(lower_small(), "here") != key
    monkeypatch.setattr(cost, "_version", lambda package: "0.0")
    assert cost.key(lower_small(), "here") != key


def test_loops_count_their_turns():
    once, thrice = cost.measure(lower_small()), cost.measure(lower_small(), loops=3)
    assert thrice.flops == 3 * once.flops > 0


class Refused:
    """A program that the compiler finds no place for."""

    def __init__(self, message):
        self.message = message

    def compile(self, **_):
        raise jax.errors.JaxRuntimeError(self.message)


def test_too_large():
    # As libtpu 0.0.42 says it.
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for"
        " HLO temporaries (76.05G) exceeds available HBM (15.75G)."
    )
    found = cost.measure(Refused(message))
    assert found == cost.Cost(fits=False, memory=76.05 * 2**30)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        cost.measure(Refused("INTERNAL: something else"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.preprocess": "scale_width"}, "depends on the data"),
        ({"accumulate": 2}, "accumulate is 2"),
        ({"data.crop_size": 4, "discriminator.n_layers": 3}, "need at least"),
        ({"compute_dtype": "float16"}, "compute_dtype is 'float16'"),
    ],
)
def test_mistakes_in_the_config(change, message):
    config = small_config()
    with config.unlocked():
        config.update_from_flattened_dict(change)
    with pytest.raises(UserError, match=message):
        program.lower(config, jax.devices(), 1)


def plan(*arguments):
    config = "--config=configs/streets.py:smoke"
    command = [sys.executable, "-m", "cyclegan_jax.plan", config, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--topology"),
        (("--topology=v5e:2x2", "--per_device_batch=1,two"), "list of numbers"),
        (("--topology=v7:2x2",), "unknown topology 'v7:2x2'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    result = plan(*arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


@pytest.mark.slow
def test_the_command_on_cpus(tmp_path):
    arguments = ("--topology=cpu", "--per_device_batch=2", "--remat=on")
    result = plan(*arguments, f"--cache={tmp_path}")
    assert result.returncode == 0, result.stderr
    (file,) = tmp_path.iterdir()
    flops = json.loads(file.read_text())["flops"]
    assert f"{flops / 1e9:,.2f}" in result.stdout
    assert "2    yes" in result.stdout
    assert "no published speeds" in result.stdout
    assert "Windows" not in result.stdout  # Nothing of a GPU.
