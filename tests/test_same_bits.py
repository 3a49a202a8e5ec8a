"""config.same_bits: a run's bits do not depend on devices, processes or resumptions."""

import contextlib
import functools
import os

import jax
import numpy as np
import pytest

from configs import streets
from cyclegan_jax.core import slots
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, runtime, slot_ordered
from cyclegan_jax.machine.environment import Level
from cyclegan_jax.machine.spread import Spread
from cyclegan_jax.plan import hlo, traffic
from cyclegan_jax.runs import comparing
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.writer import read_metrics
from tests import processes

SETTINGS = (
    *processes.TINY[1:],
    "--config.same_bits=True",
    "--config.loss.identity=0.5",
    "--config.ema_decay=0.9",
    "--config.log_every_steps=2",
    "--config.sample_every_steps=5",
    "--config.checkpoint_every_steps=0",
)
# Devices of each process, and processes.
JOBS = {
    **{"1": (1, 1), "2": (2, 1), "4": (4, 1), "8": (8, 1)},
    **{"2x2": (2, 2), "1x4": (1, 4)},
}


def train(folder, devices, count, *flags, config="streets", as_users=False):
    where = (f"--config=configs/{config}.py:smoke", f"--workdir={folder}")
    command = ("train.py", *where, *SETTINGS, *flags)
    processes.run(command, devices=devices, processes=count, as_users=as_users)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Five steps on one device."""
    return train(tmp_path_factory.mktemp("run") / "run", 1, 1, "--config.max_steps=5")


def same(one, other):
    assert comparing.compare(one, other) == []
    names = [path.relative_to(one) for path in one.glob("samples/*")]
    for name in ("metrics.jsonl", *names):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert len(names) >= 2


@pytest.mark.slow
def test_devices(whole, tmp_path):
    same(whole, train(tmp_path / "run", *JOBS["8"], "--config.max_steps=5"))


@pytest.mark.slow
def test_resumed_elsewhere(whole, tmp_path):
    """On 4 devices, then on 2 of each of two processes."""
    for steps, job in ((2, "4"), (5, "2x2")):
        train(tmp_path / "run", *JOBS[job], f"--config.max_steps={steps}")
    assert comparing.compare(whole, tmp_path / "run") == []


@pytest.mark.slow
def test_without_it_the_bits_differ(whole, tmp_path):
    """The mutation: ordinary sums over devices."""
    flags = ("--config.max_steps=5", "--config.same_bits=False")
    one = train(tmp_path / "one", 1, 1, *flags)
    two = train(tmp_path / "two", 4, 1, *flags)
    assert comparing.compare(one, two) != []
    np.testing.assert_allclose(*(losses(folder) for folder in (one, whole)), rtol=1e-3)


def losses(folder):
    return [[line[name] for name in sorted(line)] for line in read_metrics(folder)]


@contextlib.contextmanager
def one_core():
    """Limits this process, and what it starts, to one of the processor's cores."""
    if not hasattr(os, "sched_setaffinity"):  # Not on macOS.
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


REGULARISED = {
    "discriminator.augment": "color,translation,cutout",
    "discriminator.monitor": True,
    "discriminator.spectral_norm": True,
    "discriminator.queue_size": 2,
}
# On one core with 1 device, and on others, for a few steps.
LONGER = [
    ("4", "streets", {"loss.gan_mode": "wgangp", "discriminator.norm": "none"}),
    ("8", "streets", {"loss.gan_mode": "hinge", "loss.identity": 0} | REGULARISED),
    ("2x2", "streets", {"loss.gan_mode": "vanilla", "compute_dtype": "bfloat16"}),
    ("4", "streets", {"batch_size": 12, "generator.dropout": True, "remat": True}),
    ("4", "pix2pix", {"generator.norm": "instance", "discriminator.norm": "instance"}),
    ("2x2", "cogan", {"generator.norm": "none", "discriminator.norm": "none"}),
    ("8", "bigan", {}),
    ("1x4", "simgan", {"ema_decay": 0}),
    ("2", "feature_gan", {"loss.vgg": "random", "loss.vgg_size": 32}),
    ("4", "cut", {"cut.flip_equivariance": True}),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("job", "name", "settings"), LONGER)
def test_settings_and_methods(job, name, settings, tmp_path):
    """Every GAN mode and method, bfloat16, dropout, an odd part of the batch."""
    settings = {"max_steps": 5} | settings
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    with one_core():
        one = train(tmp_path / "1", 1, 1, *flags, config=name)
    same(one, train(tmp_path / "run", *JOBS[job], *flags, config=name))


@pytest.mark.exhaustive
def test_as_users_run_it(tmp_path):
    """Fifty steps and scores, by programs with all of XLA's optimisations."""
    flags = ("--config.max_steps=50", "--config.evaluate_every_steps=25")
    runs = [
        train(tmp_path / name, *job, *flags, as_users=True)
        for name, job in JOBS.items()
    ]
    for run in runs[1:]:
        same(runs[0], run)


@pytest.mark.parametrize("count", [1, 2, 6, 8, 12])
def test_the_tree_is_the_same_for_all_devices(count):
    """The order of additions, written out as text."""

    def add(a, b):
        return f"({a}+{b})"

    def tree(values, size):
        sums = slots.Tree(size, add)
        for value in values:
            sums.put(value)
        return sums.total()

    expected = tree(map(str, range(count)), count)
    for devices in slots.devices_allowed(count):
        own = count // devices
        parts = [
            tree(map(str, range(device * own, device * own + own)), count)
            for device in range(devices)
        ]
        while len(parts) > 1:  # What neighbours compute.
            parts = [add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        assert parts == [expected]


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_every_device_gets_the_sum(devices):
    """The sums of neighbours, of pairs of neighbours, and so on."""
    rng = np.random.default_rng(0)
    values = {
        name: (10 ** rng.uniform(-4, 4, (devices, *shape))).astype(np.float32)
        for name, shape in {"matrix": (3, 5), "number": ()}.items()
    }
    expected = dict(values)
    while len(expected["number"]) > 1:
        expected = {name: x[::2] + x[1::2] for name, x in expected.items()}
    add = functools.partial(slots.sum_over_devices, axis_name="x", devices=devices)
    sums = jax.vmap(add, axis_name="x")(values)
    for name, whole in expected.items():
        np.testing.assert_array_equal(
            sums[name], np.broadcast_to(whole, sums[name].shape)
        )
    if devices == 8:  # In another order it rounds differently.
        assert np.any(values["matrix"].sum(axis=0) != expected["matrix"])


def test_as_many_bytes_as_an_all_reduce():
    """2 (n - 1) / n of the values, for n = 2."""
    add = functools.partial(slots.sum_over_devices, axis_name="x", devices=2)
    program = jax.pmap(add, axis_name="x").lower(np.zeros((2, 1000), np.float32))
    text = program.compile().as_text()
    assert traffic.collective_bytes(hlo.Program(text)) == 4 * 1000


def test_images_one_by_one():
    """Evaluation and translation, too: each device applies one program to an image."""
    spread = Spread(lambda scale, x: scale * x + len(x), by_image=True)
    assert spread.count == 2
    batch = np.arange(15, dtype=np.float32).reshape(5, 3)
    result = spread(spread.place(np.float32(2)), batch)
    np.testing.assert_array_equal(result, 2 * batch + 1)


def test_what_cannot_have_it():
    config = streets.get_config("smoke")
    config.same_bits = True
    method = Experiment.of(config).method
    for devices in (1, 2, 4):
        slot_ordered.check(method, 12, devices)
    for size, devices in ((12, 3), (12, 12), (6, 6)):
        with pytest.raises(UserError, match="--devices"):
            slot_ordered.check(method, size, devices)
    config.accumulate = 2
    experiment = Experiment.of(config)
    with pytest.raises(UserError, match="accumulate"):
        experiment.check_accumulate(2)
    config.generator.norm = "batch"
    method = Experiment.of(config).method
    with pytest.raises(UserError, match=r"generator\.norm"):
        slot_ordered.check(method, 8, 2)


@pytest.mark.slow
def test_reproduced_on_other_devices(whole, tmp_path):
    command = ("train.py", f"--reproduce={whole}/run.json", f"--workdir={tmp_path}/run")
    (output,) = processes.run(command, devices=2)
    exact = f"run are {Level.BIT_EXACT}."
    assert ("not committed" if environment.uncommitted() else exact) in output
    assert comparing.compare(whole, tmp_path / "run") == []


def test_what_to_expect(monkeypatch):
    """By what differs from the run before."""
    expected = environment.expected
    assert expected([]) == expected([], same_bits=True) == Level.BIT_EXACT
    where = ["devices: ['cpu'] -> ['cpu', 'cpu']", "processes: 1 -> 2"]
    assert expected(where) == Level.ROUNDING
    assert expected(where, same_bits=True) == Level.BIT_EXACT
    assert environment.doubt(where) == ""
    threads = [*where, "variables.NPROC: 8 -> 16"]
    assert expected(threads, same_bits=True) == Level.ROUNDING
    assert "NPROC: 8 -> 16" in environment.doubt(threads)
    newer = [*where, "packages.jax: 0.10.2 -> 0.11.0"]
    assert expected(newer, same_bits=True) == Level.STATISTICAL
    then = environment.describe()
    flag = "--xla_force_host_platform_device_count=4"
    monkeypatch.setenv("XLA_FLAGS", f"{then['variables']['XLA_FLAGS']} {flag}")
    assert environment.differences(then) == []
    several = environment.differences(then | {"devices": then["devices"] * 9})
    assert expected(several, same_bits=True) == Level.BIT_EXACT
    other = environment.differences(then | {"devices": ["NVIDIA H200"]})
    assert expected(other, same_bits=True) == Level.STATISTICAL
    monkeypatch.setenv("NPROC", "8")
    runtime.check_threads(8)
    with pytest.raises(UserError, match="NPROC=9"):
        runtime.check_threads(9)


def test_a_process_that_has_used_jax(monkeypatch):
    """Its thread pool has its size already."""
    jax.devices()
    monkeypatch.setenv("NPROC", "4")
    runtime.fix_threads()  # The user's choice.
    monkeypatch.delenv("NPROC")
    with pytest.raises(UserError, match="NPROC=8"):
        runtime.fix_threads()
