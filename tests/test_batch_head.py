"""The batch head of UVCGAN v2: against PyTorch, and as part of a run."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import streets
from cyclegan_jax.core import feature_queue, networks, steps
from cyclegan_jax.core.methods import phases
from cyclegan_jax.core.networks import batch_head
from cyclegan_jax.core.state import create_pools, create_state
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.discriminators import DiscriminatorScores
from cyclegan_jax.machine import devices, slot_ordered
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.training import loop
from tests import slow_but
from tests.test_augmentation import config_of
from tests.test_loop import assert_same_run, smoke, stop_after
from tests.test_steps import (
    SGD,
    SLOTS,
    assert_close,
    assert_same,
    make_batch,
    make_method,
    run,
)

QUEUE, NAMES = 3, ("g_ab", "g_ba", "d_a", "d_b")


def with_queue(**kwargs):
    method = make_method(**kwargs)
    d = method.discriminator_a.clone(queue_size=QUEUE)
    return dataclasses.replace(method, discriminator_a=d, discriminator_b=d)


def torch_trainer(rng, settings, slots):
    pytest.importorskip("torch")
    from tests.oracle import batch_head, recipes, training

    nets = {}
    for name in NAMES:
        kwargs = {"width": 4, **({"blocks": 1} if name[0] == "g" else {"layers": 1})}
        net = recipes.build(rng, "resnet" if name[0] == "g" else "patch", kwargs)
        if name[0] == "d":
            net = batch_head.BatchHeadDiscriminator(net.model, slots, QUEUE).double()
            recipes.randomise(rng, net.head)
        nets[name] = net
    settings = training.Settings(optimizer="sgd", pool_size=0, **settings)
    return batch_head.BatchHeadTrainer(nets, settings)


def our_parameters(method, trainer):
    params = {}
    for name, net in trainer.nets.items():
        module = method.modules[name]
        state = {k: v.numpy().astype(np.float32) for k, v in net.state_dict().items()}
        if name[0] == "d":
            module = module.clone(queue_size=0)
            head = {
                ours: {
                    "kernel": state[f"head.{n}.weight"].transpose(2, 3, 1, 0),
                    "bias": state[f"head.{n}.bias"],
                }
                for n, ours in ((0, "conv"), (2, "conv_out"))
            }
            state = {
                k.replace("body", "model"): v
                for k, v in state.items()
                if k.startswith("body")
            }
        params[name] = torch_names.from_torch(module, state)["params"]
        if name[0] == "d":
            params[name]["head"] = head
    return params


def mixing_numbers(step, slots):
    """What the step draws for the penalties of d_b and d_a, in that order."""
    keys = jax.random.fold_in(jax.random.key(0), step)
    for number in (np.arange(slots), 2 * 1):  # The slot; the second phase.
        fold = jax.vmap(jax.random.fold_in, (None, 0) if np.ndim(number) else (0, None))
        keys = fold(keys, number)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    draw = jax.vmap(jax.random.uniform)
    return {d: np.array(draw(fold(keys, n))) for n, d in ((1, "b"), (2, "a"))}


@pytest.mark.slow
def test_training_is_pytorchs():
    """Losses of six steps, and the parameters after them: the queues fill and move."""
    rng, slots, rate = np.random.default_rng(0), 2, 1e-3
    trainer = torch_trainer(rng, {"lr": rate, "gradient_penalty": 1.0}, slots)
    method = with_queue(gan_mode="lsgan_gp")
    weights = dataclasses.replace(method.weights, gradient_penalty=1.0)
    method = dataclasses.replace(method, weights=weights)
    optimizer = optax.sgd(rate)
    state = create_state(method, optimizer, (16, 16), 0)
    params = jax.tree.map(jnp.asarray, our_parameters(method, trainer))
    jax.tree.map(
        lambda x, y: np.testing.assert_equal(x.shape, y.shape), state.params, params
    )
    state, pools = (
        state.replace(params=params),
        create_pools(method, slots, 0, (16, 16)),
    )
    step = functools.partial(
        steps.train_step, method=method, optimizer=optimizer, axis_name="batch"
    )
    step = jax.jit(jax.vmap(step, axis_name="batch", in_axes=None, axis_size=1))
    none = [(False, 0)] * slots
    for number in range(6):
        batch = make_batch(number, slots)
        real = {d: np.float32(batch[d] / 127.5 - 1.0) for d in "ab"}
        alpha = mixing_numbers(number, slots)
        expected = trainer.step(
            real["a"], real["b"], none, none, alpha["a"], alpha["b"]
        )
        new = step(state, pools, batch, jnp.uint32(0))
        state, pools, metrics = jax.tree.map(lambda x: x[0], new)
        for name, loss in expected.items():
            assert abs(metrics[name] - loss) < 2e-5 * max(1.0, loss), (number, name)
    assert_close(state.params, our_parameters(method, trainer), rtol=0, atol=2e-6)
    for name in ("d_a", "d_b"):
        queues = pools[feature_queue.POOL][name]
        for queue, theirs in zip(
            queues, trainer.nets[name].queues.values(), strict=True
        ):
            np.testing.assert_array_equal(queue.count, [QUEUE] * slots)
            theirs = np.stack([np.concatenate(list(slot)) for slot in theirs])
            assert_close(queue.features, np.moveaxis(theirs, 2, -1))


def test_the_deviation_grows_with_the_queue():
    """NumPy's, over what is there; a constant where there is nothing yet."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 2, 3, 4, 6)).astype(np.float32)
    queue, _ = feature_queue.create(2, QUEUE, images.shape[2:])
    for number, x in enumerate(images):
        past = images[max(0, number - QUEUE) : number + 1]
        expected = np.sqrt(np.var(past, axis=0) + 1e-6).mean(axis=(1, 2, 3))
        found = batch_head.deviation(jnp.asarray(x), queue)
        np.testing.assert_allclose(found[:, 0, 0, 0], expected, rtol=1e-5)
        queue = queue.push(x)
    alone = batch_head.deviation(jnp.asarray(x), None)
    np.testing.assert_allclose(alone, np.full((2, 1, 1, 1), 1e-3), rtol=1e-6)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_each_image_has_its_queue(norm):
    """Scores of real and generated images, in one pass unless a norm forbids it."""
    rng, slots = np.random.default_rng(0), 2
    d = networks.PatchDiscriminator(n_layers=1, width=4, norm=norm, queue_size=QUEUE)
    real, fake = jnp.asarray(rng.normal(size=(2, slots, 16, 16, 3)), jnp.float32)
    variables = d.init(jax.random.key(0), real)

    def alone(images, queue):
        scores, new = d.apply(
            variables,
            images,
            train=True,
            queue=queue,
            mutable=["batch_stats", "intermediates"],
        )
        return scores, *new["intermediates"]["features"]

    shape = alone(real, None)[1].shape[1:]
    past = (feature_queue.create(slots, QUEUE, shape).real for _ in range(2))
    queues = feature_queue.Queues(
        *(queue.push(rng.normal(size=(slots, *shape))) for queue in past)
    )
    stats = {k: {"d": v} for k, v in variables.items()}
    net = phases.Networks(
        {"d": d}, stats["params"], stats.get("batch_stats", {}), None, {"d": queues}
    )
    scores = net.scores("d", real, fake)
    expected = alone(real, queues.real), alone(fake, queues.fake)
    assert_close(tuple(zip(scores, net.features["d"], strict=True)), expected)
    assert not np.allclose(scores[1], alone(fake, queues.real)[0], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double_precision")
def test_devices_and_parts_do_not_matter():
    whole = run(with_queue(), 1, num_steps=3)
    assert_same(whole, run(with_queue(), 2, num_steps=3, accumulate=2))
    counts = whole[1][feature_queue.POOL]["d_a"].fake.count
    np.testing.assert_array_equal(counts, [3] * SLOTS)


def same_bits(count):
    """Three steps of the step for `same_bits`, on so many devices."""
    method = with_queue()
    machine = devices.Devices(SLOTS, limit=count)
    step = slot_ordered.SlotOrderedStep(machine, method, SGD)
    state = create_state(method, SGD, (16, 16), 0)
    state, pools = machine.place(state, create_pools(method, SLOTS, 8, (16, 16)))
    for number in range(2):
        batch = machine.place_batch(make_batch(number))
        state, pools, _ = step(state, pools, batch, np.uint32(0))
    return jax.device_get(machine.whole(state, pools))


@pytest.mark.slow
def test_same_bits():
    one, two = same_bits(1), same_bits(2)
    jax.tree.map(np.testing.assert_array_equal, one, two)
    np.testing.assert_array_equal(one["pools"]["queues"]["d_b"].real.count, [2] * SLOTS)


@pytest.mark.slow
def test_resumed_exactly(tmp_path, monkeypatch):
    config = smoke(**{"discriminator.queue_size": QUEUE})
    assert loop.train(config, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        assert loop.train(config, tmp_path / "run") != 0
    assert loop.train(config, tmp_path / "run") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "discriminators"),
    slow_but(
        [("streets", 2)],
        [
            ("streets", 2),
            *((name, 1) for name in ("pix2pix", "simgan", "bigan", "cut")),
        ],
    ),
)
def test_every_method(name, discriminators):
    """A step returns the pools that it takes."""
    experiment = Experiment.of(config_of(name, **{"discriminator.queue_size": 2}))
    size = experiment.config.data.crop_size
    state, pools = jax.eval_shape(lambda: experiment.create(SGD, (size, size), slots=2))
    assert len(pools[feature_queue.POOL]) == discriminators
    batch = {d: np.zeros((2, size, size, 3), np.uint8) for d in "ab"}
    batch["slot"] = np.arange(2, dtype=np.int32)
    step = jax.make_jaxpr(
        experiment.step(SGD, "cpu"), axis_env=[("batch", 1)], return_shape=True
    )
    _, (_, new, _) = step(state, pools, batch, np.uint32(0))
    shapes = functools.partial(jax.tree.map, lambda x: (x.shape, x.dtype))
    assert shapes(new) == shapes(pools)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("streets", {"discriminator.queue_size": -1}, "queue_size"),
        ("streets", {"discriminator.name": "pixel"}, "queue_size.*pixel has none"),
        ("cogan", {}, "cogan.*queue_size"),
    ],
)
def test_what_is_refused(name, changes, message):
    config = config_of(name, **{"discriminator.queue_size": 2} | changes)
    with pytest.raises(UserError, match=message):
        Experiment.of(config)


def test_no_pth_file():
    module = networks.PatchDiscriminator(queue_size=2)
    with pytest.raises(UserError, match="queue_size=0"):
        torch_names.to_torch(module, {"params": {}})


def test_no_scores_of_single_images():
    """In evaluations there is no queue to compare them with."""
    assert DiscriminatorScores(with_queue()).domains == []
    assert DiscriminatorScores(make_method()).domains == ["a", "b"]


def test_off_by_default():
    method = Experiment.of(streets.get_config("smoke")).method
    assert feature_queue.POOL not in create_pools(method, 2, 4, (64, 64))
