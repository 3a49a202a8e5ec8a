"""config.same_bits: a run's bits do not depend on devices, processes or resumptions."""

import jax
import numpy as np
import pytest

from configs import streets
from cyclegan_jax.core import slots
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import slot_ordered
from cyclegan_jax.runs import comparing
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.writer import read_metrics
from tests import processes

COMMAND = (
    "train.py",
    *processes.TINY,
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


def train(folder, devices, count, *flags):
    processes.run(
        (*COMMAND, f"--workdir={folder}", *flags), devices=devices, processes=count
    )
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Five steps on one device."""
    return train(tmp_path_factory.mktemp("run") / "run", 1, 1, "--config.max_steps=5")


def same(one, other):
    assert comparing.compare(one, other) == []
    for name in ("metrics.jsonl", "samples/step_00000005.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("job", ["8", "2x2"])
def test_devices_and_processes(whole, job, tmp_path):
    same(whole, train(tmp_path / "run", *JOBS[job], "--config.max_steps=5"))


def test_resumed_elsewhere(whole, tmp_path):
    for steps, job in ((2, "4"), (4, "1"), (5, "2")):
        train(tmp_path / "run", *JOBS[job], f"--config.max_steps={steps}")
    assert comparing.compare(whole, tmp_path / "run") == []


def test_without_it_the_bits_differ(whole, tmp_path):
    """The mutation: ordinary sums over devices."""
    flags = ("--config.max_steps=5", "--config.same_bits=False")
    one = train(tmp_path / "one", 1, 1, *flags)
    two = train(tmp_path / "two", 4, 1, *flags)
    assert comparing.compare(one, two) != []
    np.testing.assert_allclose(*(losses(folder) for folder in (one, whole)), rtol=1e-3)


def losses(folder):
    return [[line[name] for name in sorted(line)] for line in read_metrics(folder)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "steps", "settings"),
    [
        ("1 2 8 2x2 1x4", 50, {}),
        ("1 4", 9, {"loss.gan_mode": "wgangp", "discriminator.norm": "none"}),
        ("2 8", 9, {"loss.gan_mode": "hinge", "loss.identity": 0}),
        ("1 2x2", 9, {"loss.gan_mode": "vanilla", "compute_dtype": "bfloat16"}),
        ("1 4", 9, {"batch_size": 12, "generator.dropout": True}),
    ],
)
def test_longer(jobs, steps, settings, tmp_path):
    """Fifty steps; and every GAN mode, bfloat16, dropout, an odd part of the batch."""
    flags = [f"--config.{name}={value}" for name, value in settings.items()]
    flags += [f"--config.max_steps={steps}", "--config.sample_every_steps=0"]
    first, *others = (train(tmp_path / job, *JOBS[job], *flags) for job in jobs.split())
    for folder in others:
        assert comparing.compare(first, folder) == []


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
        while len(parts) > 1:  # What neighbours of the butterfly compute.
            parts = [add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        assert parts == [expected]


def test_every_device_gets_the_sum():
    values = np.float32([[1e8, 1.0], [3.0, -1e8]])
    sums = jax.pmap(lambda x: slots.butterfly(x, "batch", 2), axis_name="batch")(values)
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_array_equal(sums[0], values[0] + values[1])


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


def test_reproduced_on_other_devices(whole, tmp_path):
    command = ("train.py", f"--reproduce={whole}/run.json", f"--workdir={tmp_path}/run")
    (output,) = processes.run(command, devices=2)
    assert "the same, bit for bit" in output or "not committed" in output
    assert comparing.compare(whole, tmp_path / "run") == []
