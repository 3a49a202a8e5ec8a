"""loss.keep: what masks mark stays, in the loss, in runs and in evaluations."""

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from configs import folder
from cyclegan_jax import evaluation, images
from cyclegan_jax.core import masked
from cyclegan_jax.core.steps import train_step
from cyclegan_jax.errors import UserError
from cyclegan_jax.plan import program
from cyclegan_jax.runs.comparing import compare
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.writer import read_metrics
from cyclegan_jax.training import loop, trainer
from tests import processes, test_steps
from tests.test_steps import SIZE, SLOTS, WEIGHTS, make_batch, make_method
from tests.translating import make_run

WEIGHT = 7.0


def make_masks(seed=0, slots=SLOTS):
    """Masks of different shares; nothing of the second image is kept."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.2, 0.9, (slots, 1, 1, 1))
    shares[1] = 0
    return rng.uniform(size=(slots, SIZE, SIZE, 1)) < shares


def oracle(one, other, mask):
    """The mean over kept pixels and channels, image by image."""
    distances = [
        np.abs(a - b)[m[..., 0]].mean() if m.any() else 0.0
        for a, b, m in zip(one, other, mask, strict=True)
    ]
    return np.mean(distances)


# The loss.


def test_the_distance_inside_masks():
    rng = np.random.default_rng(0)
    one, other = rng.uniform(-1, 1, (2, SLOTS, SIZE, SIZE, 3)).astype(np.float32)
    mask = make_masks()
    value, gradient = jax.value_and_grad(masked.l1)(one, other, mask)
    assert value == pytest.approx(oracle(one, other, mask), rel=1e-5)
    count = mask.sum((1, 2, 3), keepdims=True) * 3 * SLOTS
    expected = np.where(mask, np.sign(one - other) / np.maximum(count, 1), 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    none = jax.value_and_grad(masked.l1)(one, other, np.zeros_like(mask))
    assert none[0] == 0
    np.testing.assert_array_equal(none[1], 0)
    for shape in ((SLOTS, SIZE, SIZE, 3), (1, SIZE, SIZE, 1)):
        with pytest.raises(ValueError, match="shapes differ"):
            masked.l1(one, other, np.ones(shape, bool))


def keeping(weight=WEIGHT, **kwargs):
    return make_method(
        norm="none", weights=dataclasses.replace(WEIGHTS, keep=weight, **kwargs)
    )


def with_masks(domains, make=make_batch):
    def make_with_masks(seed=0):
        masks = {f"mask_{d}": make_masks(seed + ord(d)) for d in domains}
        return make(seed) | masks

    return make_with_masks


@pytest.mark.slow
@pytest.mark.parametrize("domains", ["ab", "b"])
def test_its_terms_in_a_step(monkeypatch, domains):
    """The same on two devices and in parts."""
    monkeypatch.setattr(test_steps, "make_batch", with_masks(domains))
    method = keeping(cycle_a=0.0, cycle_b=0.0, identity=0.0)
    before, _ = test_steps.start(method)
    _, _, (metrics,) = one = test_steps.run(method, 1)
    batch = with_masks(domains)(0)
    for domain, name in (("a", "g_ab"), ("b", "g_ba")):
        if domain not in domains:
            assert f"keep_{domain}" not in metrics
            continue
        real = images.to_float(batch[domain])
        fake = method.modules[name].apply({"params": before.params[name]}, real)
        expected = WEIGHT * oracle(real, np.asarray(fake), batch[f"mask_{domain}"])
        assert metrics[f"keep_{domain}"] == pytest.approx(expected, rel=1e-4)
    if domains == "ab":
        test_steps.assert_close(one, test_steps.run(method, 2, accumulate=2))


def test_without_the_weight_masks_change_nothing():
    """The ordinary program does not see them."""

    def lowered(batch):
        method = make_method(norm="none")
        state, pools = test_steps.start(method)
        step = functools.partial(
            train_step, method=method, optimizer=optax.sgd(1.0), axis_name="batch"
        )
        mapped = jax.vmap(step, None, None, axis_name="batch", axis_size=1)
        return jax.make_jaxpr(mapped)(state, pools, batch, np.uint32(0))

    plain = lowered(make_batch())
    assert len(lowered(with_masks("ab")()).jaxpr.eqns) == len(plain.jaxpr.eqns)


def coloured(rng, *colours):
    """Noise about a colour in the left half, and about another in the right half."""
    noise = rng.integers(0, 40, (SLOTS, SIZE, SIZE, 3))
    halves = np.repeat(np.array(colours), SIZE // 2, axis=0)
    return (halves[None, None] + noise).astype(np.uint8)


@pytest.mark.slow
def test_what_masks_mark_stays():
    """Red and blue become green; what is red is kept."""
    method = keeping(50.0, cycle_a=0.0, cycle_b=0.1, identity=0.0)
    rng, mask = np.random.default_rng(0), np.zeros((SLOTS, SIZE, SIZE, 1), bool)
    mask[:, :, : SIZE // 2] = True
    red, green, blue = (210, 5, 5), (5, 210, 5), (5, 5, 210)
    batch = {"a": coloured(rng, red, blue), "b": coloured(rng, green, green)}
    batch |= {"mask_a": mask, "slot": np.arange(SLOTS)}
    optimizer = optax.adam(5e-3)
    state, pools = test_steps.start(method, optimizer, pool_size=0)
    step = functools.partial(
        train_step, method=method, optimizer=optimizer, axis_name="batch"
    )
    step = jax.jit(jax.vmap(step, None, None, axis_name="batch", axis_size=1))

    def distances():
        real = images.to_float(batch["a"])
        fake = method.modules["g_ab"].apply({"params": state.params["g_ab"]}, real)
        return oracle(real, fake, mask), oracle(real, fake, ~mask)

    before = distances()
    for _ in range(100):
        state, pools, _ = step(state, pools, batch, np.uint32(0))
    inside, outside = distances()
    assert inside < 0.3 * before[0]
    assert inside < 0.3 * outside


# Runs.


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four pictures a split; half of each is kept, and nothing of the last."""
    root, rng = tmp_path_factory.mktemp("data") / "set", np.random.default_rng(0)
    for split in ("trainA", "trainB", "testA", "testB"):
        for kind in (split, f"{split}_mask"):
            (root / kind).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / f"{i}.png")
            mask = np.zeros((32, 32), np.uint8)
            mask[:16] = 24 * (i != 3)
            Image.fromarray(mask).save(root / f"{split}_mask" / f"{i}.png")
    return root


def smoke(path, **changes):
    config = folder.get_config("smoke")
    config.generator.width = config.discriminator.width = 4
    config.discriminator.n_layers = 1
    # What is traced fastest.
    config.generator.norm = config.discriminator.norm = "none"
    config.loss.cycle_a = config.loss.identity = 0.0
    config.data.path, config.data.masks, config.loss.keep = str(path), "24", 5.0
    config.batch_size, config.max_steps, config.num_samples = 2, 4, 1
    config.log_every_steps, config.sample_every_steps = 1, 0
    config.data.load_size, config.data.crop_size = 20, 16
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


@pytest.mark.slow
def test_what_a_run_writes(data, tmp_path):
    """On two devices."""
    workdir = tmp_path / "run"
    assert loop.train(smoke(data, max_steps=2), workdir) == 0
    lines = read_metrics(workdir)
    assert len(lines) == 2
    assert all(line["keep_a"] > 0 and line["keep_b"] > 0 for line in lines)
    assert "keep_a" in (workdir / "index.html").read_text()
    about = json.loads((workdir / "run.json").read_text())
    assert about["data"]["train_a_mask"]["images"] == 4
    assert about["config"]["data"]["masks"] == "24"


@pytest.mark.slow
def test_the_same_bits_on_two_devices_as_on_one_and_resumed(data, tmp_path):
    flags = (f"--config.data.path={data}", "--config.data.masks=24")
    flags += ("--config.loss.keep=5", "--config.same_bits=True")
    flags += ("--config.batch_size=2", "--config.evaluate_every_steps=2")
    for devices, steps in ((1, 2), (1, 4), (2, 4)):
        where = f"--workdir={tmp_path}/{devices}", f"--config.max_steps={steps}"
        command = ("train.py", "--config=configs/folder.py:smoke", *where, *flags)
        processes.run(command, devices=devices)
    one, two = tmp_path / "1", tmp_path / "2"
    assert compare(one, two) == []
    lines = read_metrics(two)
    assert any("keep_a" in line for line in lines)
    assert lines[-1]["test/AtoB/kept_l1"] > 0
    assert "kept l1" in (two / "index.html").read_text()


@pytest.mark.slow
def test_old_runs_can_begin_to_keep(data, tmp_path):
    """A config.json without the settings means their defaults."""
    workdir = tmp_path / "run"
    config = smoke(data, **{"data.masks": "", "loss.keep": 0.0, "max_steps": 1})
    assert loop.train(config, workdir) == 0
    old = json.loads((workdir / "config.json").read_text())
    del old["data"]["masks"], old["loss"]["keep"]
    (workdir / "config.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"data\.masks"):
        loop.train(smoke(data, max_steps=2), workdir)
    assert loop.train(smoke(data, max_steps=2), workdir, allow_changes=True) == 0
    lines = read_metrics(workdir)
    assert ["keep_a" in line for line in lines] == [False, True]


def test_a_run_has_its_masks(data, tmp_path):
    config, workdir = smoke(data, max_steps=1), tmp_path / "run"
    copy = tmp_path / "set"
    shutil.copytree(data, copy)
    config.data.path = str(copy)
    assert loop.train(config, workdir) == 0
    mask = copy / "trainB_mask" / "0.png"
    Image.fromarray(np.full((32, 32), 24, np.uint8)).save(mask)
    config.max_steps = 2
    with pytest.raises(UserError, match="the images of train_b_mask are not those"):
        loop.train(config, workdir)


def test_the_plan_is_of_the_same_step(data, tmp_path):
    config = smoke(data)
    run = trainer.Trainer(Experiment.of(config), tmp_path / "run")
    run.open()
    batch = run.devices.place_batch(run.batches[0])
    lowered = run.step_fn.lower(run.state, run.pools, batch, np.uint32(0))
    planned = program.lower(
        config, jax.devices(), 1, steps_per_epoch=run.batches.steps_per_epoch
    )
    assert lowered.in_tree == planned.in_tree
    assert lowered.in_avals == planned.in_avals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.masks": ""}, r"loss\.keep is 5\.0, but data\.masks is empty"),
        ({"method": "simgan"}, r"loss\.keep is 5\.0, but method simgan"),
        ({"data.channels_b": 1}, r"loss\.keep is 5\.0, .* 3 channels \(A\) .* of 1 "),
    ],
)
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(UserError, match=message):
        Experiment.of(smoke("/data", **changes))


def test_a_run_needs_masks(tmp_path):
    config = smoke("", **{"data.dataset": "streets", "data.path": ""})
    with pytest.raises(UserError, match=r"loss\.keep .* trainA_mask beside trainA"):
        loop.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Evaluations.


def test_what_evaluations_measure(data, tmp_path):
    """From what is written; images of which nothing is kept do not count."""
    run = make_run(tmp_path, smoke(data, **{"data.masks": "", "loss.keep": 0.0}))
    networks = {"inception": "none", "fcn": "none"}

    def upper(path):
        return np.asarray(Image.open(path), float)[:8]

    def evaluate(**options):
        evaluator = evaluation.open_evaluator(run, networks, **options)
        return evaluation.evaluate(run, evaluator=evaluator)

    assert "kept_l1" not in evaluate()["AtoB"]
    result = evaluate(masks="24")
    for direction in ("AtoB", "BtoA"):
        made = run / "evaluation" / "0" / direction
        differences = [
            np.abs(
                upper(made / "input" / f"{i}.png") - upper(made / "output" / f"{i}.png")
            )
            for i in range(3)
        ]
        expected = np.mean(differences) / 255
        assert result[direction]["kept_l1"] == pytest.approx(expected, rel=1e-6)
    page = (run / "evaluation" / "0" / "index.html").read_text()
    assert "kept l1" in page
    result = evaluate(masks="9")
    assert "kept_l1" not in result["AtoB"]
    assert any("keep no pixel" in note for note in result["notes"])
