"""DiffAugment against PyTorch, and for every method; ADA's heuristic as a monitor."""

import dataclasses
import functools
import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import bigan, streets
from cyclegan_jax.core import augmentation, losses
from cyclegan_jax.core.augmentation import Augmentation
from cyclegan_jax.core.state import create_pools, create_state
from cyclegan_jax.core.steps import train_step
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics.meanings import loss as metric_of
from cyclegan_jax.runs.experiment import Experiment
from tests import slow_but, test_parity
from tests.oracle import cases
from tests.test_steps import assert_same, make_method, run

ALL = "color,translation,cutout"


def random_numbers(seed, batch, size):
    """Draws for `batch` images, as NumPy arrays by name."""
    keys = jax.random.split(jax.random.key(seed), batch)
    return jax.device_get(augmentation.draw(keys, size)._asdict())


def oracle(images, policy, numbers):
    torch = pytest.importorskip("torch")
    from tests.oracle import diff_augment

    x = torch.tensor(images, dtype=torch.float64).movedim(-1, 1).requires_grad_()
    y = diff_augment.augment(x, policy, numbers)
    torch.sum(y**3).backward()
    return [t.movedim(1, -1).detach().numpy() for t in (y, x.grad)]


@pytest.mark.parametrize("policy", [*augmentation.POLICIES, ALL, "cutout,color"])
def test_images_and_gradients_are_pytorchs(policy):
    images = np.random.default_rng(0).uniform(-1, 1, (12, 13, 20, 3))
    numbers = random_numbers(1, 12, (13, 20))
    augment = Augmentation.of(policy)

    def cubes(x):
        y = augment.apply(x, augmentation.Draws(**numbers))
        return jnp.sum(y**3), y

    gradient, y = jax.grad(cubes, has_aux=True)(jnp.float32(images))
    expected, expected_gradient = oracle(images, policy, numbers)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


def test_the_halves_of_a_pair():
    """Moved and cut alike; the same change of colour, each about its own mean."""
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 4)).astype(np.float32)
    numbers = random_numbers(2, 4, (16, 16))
    pair = Augmentation.of(ALL, channels=(3, 1))
    y = pair.apply(images, augmentation.Draws(**numbers))
    for half in (slice(0, 3), slice(3, 4)):
        expected, _ = oracle(images[..., half], ALL, numbers)
        np.testing.assert_allclose(y[..., half], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (13, 20)])
def test_the_published_ranges(size):
    numbers = random_numbers(0, 4000, size)
    for name, least, most in (
        ("brightness", -0.5, 0.5),
        ("saturation", 0.0, 2.0),
        ("contrast", 0.5, 1.5),
    ):
        assert np.min(numbers[name]) >= least
        assert np.max(numbers[name]) < most
        spread = (most - least) / np.sqrt(12)
        np.testing.assert_allclose(np.std(numbers[name]), spread, rtol=0.05)
        np.testing.assert_allclose(
            np.mean(numbers[name]), (least + most) / 2, atol=0.05
        )
    # Sides of 16, 13 and 20: at most 2, 2 and 3 pixels; holes of 8, 7 and 10.
    reach, last = {16: (2, 17), 13: (2, 13), 20: (3, 21)}, {}
    for axis, side in enumerate(size):
        far, last = reach[side]
        shifts, centres = (numbers[name][:, axis] for name in ("shift", "centre"))
        assert sorted(set(shifts)) == list(range(-far, far + 1))
        assert sorted(set(centres)) == list(range(last))
    assert abs(np.corrcoef(numbers["shift"].T)[0, 1]) < 0.1


@pytest.mark.slow
def test_a_step_is_pytorchs(monkeypatch):
    """Losses of both sides, and the gradients by the parameters after a step."""
    torch = pytest.importorskip("torch")
    from tests.oracle import diff_augment, recipes, training

    case = cases.load_case("train_lsgan_sgd")
    settings = training.Settings(**case["config"]["settings"])
    # d_b and d_a for the generators; d_b and d_a on real and on generated images.
    drawn = {
        "d_b": [random_numbers(seed, 2, (16, 16)) for seed in (0, 2, 3)],
        "d_a": [random_numbers(seed, 2, (16, 16)) for seed in (1, 4, 5)],
    }
    kinds = {"g": ("resnet", "generator"), "d": ("patch", "discriminator")}
    nets = {}
    for name in test_parity.NAMES:
        network, config = kinds[name[0]]
        nets[name] = recipes.NETWORKS[network](**case["config"][config]).double()
        state = cases.subtree(case, f"state/{name}")
        nets[name].load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    for name, numbers in drawn.items():
        numbers = iter(numbers)
        nets[name].register_forward_pre_hook(
            lambda _, args, numbers=numbers: diff_augment.augment(
                args[0], ALL, next(numbers)
            )
        )
    case["config"]["steps"] = 1
    case |= recipes.train(training.CycleGANTrainer(nets, settings), case)

    method, optimizer, state, pools = test_parity.build_training(case)
    augmented = {
        f"discriminator_{d}": getattr(method, f"discriminator_{d}").clone(
            augmentation=Augmentation.of(ALL)
        )
        for d in "ab"
    }
    method = dataclasses.replace(method, **augmented)
    calls = itertools.chain(*zip(drawn["d_b"][:1], drawn["d_a"][:1], strict=True))
    calls = iter([*calls, *drawn["d_b"][1:], *drawn["d_a"][1:]])
    monkeypatch.setattr(
        augmentation, "draw", lambda keys, size: augmentation.Draws(**next(calls))
    )
    step = test_parity.scripted_step(method, optimizer, monkeypatch)
    state, _, metrics = step(state, pools, *test_parity.script_of(case, 0))
    assert next(calls, None) is None
    for term, values in cases.subtree(case, "loss").items():
        np.testing.assert_allclose(metrics[term], values[0], rtol=1e-5, err_msg=term)
    for name in test_parity.NAMES:
        test_parity.assert_parameters(case, method, state, name, 1)


def test_the_numbers_are_a_slots():
    """The same for a slot alone as in a batch; other slots have others."""
    augment, images = Augmentation.of(ALL), jnp.ones((4, 16, 16, 3))
    keys = jax.random.split(jax.random.key(0), 4)
    together = augment(images, keys)
    for slot in range(4):
        alone = augment(images[:1], keys[slot : slot + 1])
        np.testing.assert_array_equal(alone[0], together[slot])
    assert len(np.unique(together.reshape(4, -1), axis=0)) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("in_double_precision")
@pytest.mark.parametrize("gan_mode", ["lsgan", "wgangp"])
def test_two_devices_equal_one(gan_mode):
    """The random numbers are a slot's; a penalty's gradient is that through them."""
    method = make_method(gan_mode=gan_mode)
    seen = method.discriminator_a.clone(augmentation=Augmentation.of(ALL))
    method = dataclasses.replace(method, discriminator_a=seen, discriminator_b=seen)
    assert_same(run(method, 1), run(method, 2))


# The discriminators' batches in a step, and what is monitored.
SEEN = {
    "streets": (6, {"d_a", "d_b"}),
    "pix2pix": (3, {"d_b"}),
    "simgan": (3, {"d_b"}),
    "feature_gan": (3, {"d_b"}),
    "bigan": (4, {"d_ab"}),
    "cogan": (6, {"d"}),
    "cut": (3, {"d_b"}),
}


def config_of(name, **changes):
    config = importlib.import_module(f"configs.{name}").get_config("smoke")
    if name == "feature_gan":
        config.loss.vgg, config.loss.vgg_size = "random", 32
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize("name", slow_but(["streets", "bigan"], SEEN))
def test_every_method(name, monkeypatch):
    """Every batch that a discriminator sees is augmented, and each is monitored."""
    sizes = []

    def draw(keys, size):
        sizes.append(keys.shape)
        return DRAW(keys, size)

    monkeypatch.setattr(augmentation, "draw", draw)
    changes = {"discriminator.augment": ALL, "discriminator.monitor": True}
    experiment = Experiment.of(config_of(name, **changes))
    size, count, monitored = experiment.config.data.crop_size, *SEEN[name]
    step = functools.partial(
        train_step,
        method=experiment.method,
        optimizer=optax.sgd(0.1),
        axis_name="batch",
    )
    given = experiment.pretrained_parameters()
    state, pools = jax.eval_shape(
        lambda: (
            create_state(
                experiment.method, optax.sgd(0.1), (size, size), 0, given=given
            ),
            create_pools(experiment.method, 2, 2, (size, size)),
        )
    )
    batch = {d: np.zeros((2, size, size, 3), np.uint8) for d in "ab"}
    batch["slot"] = np.arange(2, dtype=np.int32)
    trace = jax.make_jaxpr(step, axis_env=[("batch", 1)], return_shape=True)
    metrics = trace(state, pools, batch, np.uint32(0))[1][2]
    assert sizes == [(2,)] * count
    overfitting = {f"overfitting_{name}" for name in monitored}
    assert {key for key in metrics if key.startswith("overfitting")} == overfitting
    assert all(metric_of(key).meaning for key in overfitting)


DRAW = augmentation.draw


def test_pairs_know_their_channels():
    for config in (
        config_of("pix2pix", direction="BtoA", best_metric=""),
        bigan.get_config("smoke"),
    ):
        config.data.channels_a, config.data.channels_b = 1, 3
        config.discriminator.augment = "color"
        method = Experiment.of(config).method
        order = (3, 1) if config.method == "pix2pix" else (1, 3)
        assert method.discriminator.augmentation.channels == order


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator.augment": "colour"}, "discriminator.augment.*translation"),
        ({"discriminator.augment": "cutout,cutout"}, "each once"),
        ({"discriminator.augment": "color,"}, "separated by commas"),
        ({"discriminator.augment": "color", "loss.gan": 0.0}, "loss.gan is 0"),
        ({"discriminator.monitor": True, "loss.gan_mode": "wgangp"}, "lsgan, vanilla"),
    ],
)
def test_what_is_refused(changes, message):
    config = streets.get_config("smoke")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        Experiment.of(config)


def test_adas_heuristic():
    """Two of three patches are called real, by each loss's own border."""
    scores = np.array([0.6, 0.4, 3.0], np.float32)
    np.testing.assert_allclose(losses.overfitting(scores, "lsgan"), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(losses.overfitting(scores - 0.5, "vanilla"), 1 / 3)
    np.testing.assert_allclose(losses.overfitting(-scores, "hinge"), -1.0)
    with pytest.raises(ValueError, match="wgangp"):
        losses.overfitting(scores, "wgangp")
