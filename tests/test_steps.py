"""The step: what it updates, and that devices, slots and parts do not matter."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax import images
from cyclegan_jax.core import networks, steps
from cyclegan_jax.core.methods import phases
from cyclegan_jax.core.methods.cyclegan import CycleGAN, LossWeights
from cyclegan_jax.core.state import (
    create_pools,
    create_state,
    placeholders,
    translate,
)

SIZE, SLOTS = 16, 4
WEIGHTS, SGD = LossWeights(), optax.sgd(1e-3)


def make_method(norm="instance", dropout=False, weights=WEIGHTS, **kwargs):
    # Larger weights than the published 0.02: with so few channels the norms would
    # otherwise divide by next to nothing and blow up rounding.
    settings = {"width": 4, "norm": norm, "init_gain": 0.2, "axis_name": "batch"}
    settings["dtype"] = jnp.float32  # Asked now: see `in_double_precision`.
    generator = networks.generator("resnet_1blocks", dropout=dropout, **settings)
    discriminator = networks.discriminator("n_layers", n_layers=1, **settings)
    pairs = (generator, generator, discriminator, discriminator)
    return CycleGAN(*pairs, weights=weights, **kwargs)


def make_batch(seed=0, slots=SLOTS):
    rng = np.random.default_rng(seed)
    shape = (slots, SIZE, SIZE, 3)
    batch = {d: rng.integers(0, 256, shape, dtype=np.uint8) for d in "ab"}
    return batch | {"slot": np.arange(slots, dtype=np.int32)}


def start(method, optimizer=SGD, pool_size=8, ema=False):
    given = placeholders(method)
    state = create_state(method, optimizer, (SIZE, SIZE), 3, ema=ema, given=given)
    return state, create_pools(method, SLOTS, pool_size, (SIZE, SIZE))


def run(method, num_devices, num_steps=1, optimizer=None, pool_size=8, **options):
    """Trains from scratch; returns state, pools by slot, and each step's metrics."""
    # Not Adam: it hides a wrong gradient scale, and blows up the rounding noise in
    # the biases before an instance norm, whose gradient is zero.
    optimizer = optimizer or optax.sgd(1e-3)
    ema = options.get("ema_decay", 0) > 0
    state, pools = start(method, optimizer, pool_size, ema)

    def split(tree):
        return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), tree)

    # Placed like the step's own outputs: its second call would compile again.
    mesh = Mesh(np.array(jax.devices()[:num_devices]), ("batch",))
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    pools = jax.device_put(split(pools), NamedSharding(mesh, PartitionSpec("batch")))
    metrics = []
    pmapped = jax.pmap(
        functools.partial(
            steps.train_step,
            method=method,
            optimizer=optimizer,
            axis_name="batch",
            **options,
        ),
        axis_name="batch",
        in_axes=(None, 0, 0, None),
        out_axes=(None, 0, None),
        devices=jax.devices()[:num_devices],
    )
    for step in range(num_steps):
        batch = split(make_batch(step))
        state, pools, terms = pmapped(state, pools, batch, np.uint32(7))
        metrics.append(terms)
    pools = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), pools)
    return jax.device_get((state, pools, metrics))


def assert_close(a, b, rtol=1e-4, atol=1e-5):
    chex.assert_trees_all_close(a, b, rtol=rtol, atol=atol)


def assert_same(a, b):
    """Equal but for the order of sums, with the fixture `in_double_precision`."""
    params = jax.tree.leaves(a[0].params)
    assert {leaf.dtype for leaf in params} == {np.dtype("float64")}
    assert_close(a, b, rtol=0, atol=1e-11)


@pytest.mark.usefixtures("in_double_precision")
@pytest.mark.parametrize(
    ("norm", "dropout"),
    [("instance", False), pytest.param("batch", True, marks=pytest.mark.slow)],
)
def test_two_devices_equal_one(norm, dropout):
    """Gradients, pools, dropout and batch statistics: all by slot, not by device."""
    method = make_method(norm, dropout)
    # Two slots' pools of two images are full after two steps: the third draws.
    one = run(method, 1, num_steps=3, pool_size=8)
    two = run(method, 2, num_steps=3, pool_size=8)
    assert_same(one, two)
    assert np.all(one[1]["fake_a"].count == 2)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double_precision")
def test_parts_equal_the_whole():
    method = make_method()
    whole = run(method, 1, num_steps=2)
    assert_same(whole, run(method, 2, num_steps=2, accumulate=2))


@pytest.mark.slow
def test_gradient_penalty_with_batch_norm():
    """The penalty's pass through the discriminator moves no statistics."""
    plain = run(make_method("batch"), 1)[0]
    penalised = run(make_method("batch", gan_mode="wgangp"), 1)[0]
    assert_close(plain.norm_stats["d_a"], penalised.norm_stats["d_a"])


def moved(before, after):
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return any(np.any(a != b) for a, b in pairs)


def test_every_network_moves():
    method = make_method()
    before, _ = start(method)
    state, _, _ = run(method, 1)
    assert sorted(state.params) == ["d_a", "d_b", "g_ab", "g_ba"]
    assert sorted(state.opt_state) == sorted(state.params)
    for name, params in before.params.items():
        assert moved(params, state.params[name]), name
    assert state.step == 1


def test_networks_start_differently():
    state, _ = start(make_method())
    assert moved(state.params["g_ab"], state.params["g_ba"])
    assert moved(state.params["d_a"], state.params["d_b"])
    other = create_state(make_method(), optax.sgd(0.1), (SIZE, SIZE), 4)
    assert moved(state.params["g_ab"], other.params["g_ab"])


@pytest.mark.parametrize(
    ("change", "terms", "batches"),
    [
        ({}, "cycle_a cycle_b d_a d_b g_ab g_ba identity_a identity_b", (6, 6)),
        ({"identity": 0.0}, "cycle_a cycle_b d_a d_b g_ab g_ba", (4, 6)),
        ({"gan": 0.0, "identity": 0.0}, "cycle_a cycle_b", (4, 0)),
        ({"cycle_a": 0.0, "cycle_b": 0.0}, "d_a d_b g_ab g_ba", (2, 6)),
        ({"cycle_b": 0.0}, "cycle_a d_a d_b g_ab g_ba identity_a", (4, 6)),
    ],
)
def test_a_term_without_weight_is_not_computed(change, terms, batches, monkeypatch):
    method = make_method(weights=dataclasses.replace(LossWeights(), **change))
    called, train_pass = [], phases.train_pass

    def counting(module, options, variables, inputs, *args):
        name = "d" if isinstance(module, networks.PatchDiscriminator) else "g"
        called.extend(name * (len(inputs) // SLOTS))
        return train_pass(module, options, variables, inputs, *args)

    monkeypatch.setattr(phases, "train_pass", counting)
    step = functools.partial(
        steps.train_step, method=method, optimizer=optax.sgd(0.1), axis_name="batch"
    )
    state, pools = jax.eval_shape(lambda: start(method))
    trace = jax.make_jaxpr(step, axis_env=[("batch", 1)], return_shape=True)
    _, (_, _, metrics) = trace(state, pools, make_batch(), np.uint32(0))
    assert sorted(metrics) == terms.split()
    assert (called.count("g"), called.count("d")) == batches
    assert ("d_a" in state.params) == bool(pools) == ("d_a" in metrics)


@pytest.mark.parametrize(
    ("norm", "dropout", "passes"),
    [
        ("instance", False, 3),
        pytest.param("batch", False, 6, marks=pytest.mark.slow),
        pytest.param("instance", True, 6, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("in_double_precision")
def test_few_passes_compute_the_same(norm, dropout, passes, monkeypatch):
    """Six translations in three passes, unless the order of the calls matters."""
    method = make_method(norm, dropout)
    expected = run(method, 1)
    called, train_pass = [], phases.train_pass

    def counting(module, *args):
        called.append(isinstance(module, networks.ResNetGenerator))
        return train_pass(module, *args)

    monkeypatch.setattr(phases, "train_pass", counting)
    assert_same(run(method, 1, few_passes=True), expected)
    assert sum(called) == passes


@pytest.mark.parametrize(
    ("norm", "dropout", "passes"),
    [("instance", False, 1), ("batch", False, 2), ("instance", True, 2)],
)
def test_each_equals_separate_calls(norm, dropout, passes, monkeypatch):
    """In one pass only where images of a pass share neither statistics nor masks."""
    method = make_method(norm, dropout)
    method = dataclasses.replace(
        method, generator_ab=method.generator_ab.clone(axis_name=None)
    )
    state, _ = start(method)
    keys = jax.random.split(jax.random.key(1), SLOTS)
    x, y = (images.to_float(jnp.asarray(make_batch()[d])) for d in "ab")
    one, two = (
        phases.Networks(method.modules, state.params, state.norm_stats, keys)
        for _ in range(2)
    )
    expected = one("g_ab", x), one("g_ab", y)
    calls, train_pass = [], phases.train_pass
    monkeypatch.setattr(
        phases, "train_pass", lambda *args: calls.append(1) or train_pass(*args)
    )
    assert_close(two.each("g_ab", x, y), expected)
    assert len(calls) == passes
    assert_close(two.norm_stats, one.norm_stats)
    assert moved(expected[0], expected[1])


class Features(nn.Module):
    """Returns what it is asked for: an image, or features of two images as well."""

    @nn.compact
    def __call__(self, inputs, *, train=False, layers=()):
        del train
        first, second = inputs["first"], inputs["second"]
        y = nn.Dense(3, name="dense")(first)
        return (y, {layer: second * layer for layer in layers}) if layers else y


def test_networks_pass_on_options_and_outputs():
    """Keyword arguments, trees of inputs, and several outputs; traced and compiled."""
    inputs = {"first": jnp.ones((2, 4, 4, 3)), "second": jnp.arange(2.0)}
    module = Features()
    params = module.init(jax.random.key(0), inputs)["params"]
    net = phases.Networks({"f": module}, {"f": params}, {}, None)

    @jax.jit
    def loss(inputs):
        image, features = net("f", inputs, layers=(2, 3))
        return image, net("f", inputs), features

    image, plain, features = loss(inputs)
    np.testing.assert_array_equal(image, plain)
    np.testing.assert_array_equal(features[3], [0.0, 3.0])
    assert sorted(features) == [2, 3]


def test_a_network_that_is_not_trained_must_be_given():
    @dataclasses.dataclass(frozen=True)
    class Perceptual(CycleGAN):
        @property
        def modules(self):
            return super().modules | {"vgg": self.discriminator_a}

        def blanks(self, image_size):
            blanks = super().blanks(image_size)
            return blanks | {"vgg": blanks["d_a"]}

    pair = make_method(norm="none")
    method = Perceptual(
        pair.generator_ab, pair.generator_ba, pair.discriminator_a, pair.discriminator_b
    )
    create = functools.partial(create_state, method, SGD, (SIZE, SIZE), 0)
    with pytest.raises(ValueError, match="vgg"):
        create()
    random = create(given={"vgg": "random"})
    assert "vgg" not in random.opt_state
    given = create(given={"vgg": random.params["d_a"]})
    assert given.params["vgg"] is random.params["d_a"]
    assert moved(given.params["vgg"], random.params["vgg"])
    chex.assert_trees_all_equal_shapes(create(given=placeholders(method)), given)


@pytest.mark.parametrize(("platform", "constrained"), [("cpu", 0), ("cuda", 2)])
def test_gradients_are_brought_into_the_order_of_parameters(platform, constrained):
    """On GPUs, for each parameter, so that nothing else is copied into another."""
    params = {"net": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)}}
    state = start(make_method())[0].replace(
        params=params, opt_state={"net": SGD.init(params["net"])}
    )
    update = jax.jit(functools.partial(steps.update, optimizer=SGD))
    lowered = update.trace(state, grads=params).lower(lowering_platforms=(platform,))
    assert lowered.as_text().count("LayoutConstraint") == constrained


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["vanilla", "hinge", "wgangp"])
def test_other_adversarial_losses_train(mode):
    method = make_method(gan_mode=mode)
    before, _ = start(method)
    state, _, (metrics,) = run(method, 2)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(moved(before.params[n], state.params[n]) for n in state.params)


@pytest.mark.slow
def test_pools_of_the_domains_draw_independently():
    """After many steps the two pools of a slot hold images of different ages."""
    method = make_method()
    _, pools, _ = run(method, 1, num_steps=12, pool_size=16, optimizer=optax.sgd(0.0))
    # With no training, a pool's images are translations of the batches' images.
    state, _ = start(method)

    def ages(domain, direction, source):
        fakes = [
            translate(
                state, method, direction, images.to_float(make_batch(step)[source])
            )
            for step in range(12)
        ]
        fakes = np.stack(fakes)  # [steps, slots, H, W, C]
        stored = pools[domain].images
        distance = np.abs(fakes[:, :, None] - stored[None]).mean(axis=(3, 4, 5))
        assert np.max(np.min(distance, axis=0)) < 1e-4
        return np.argmin(distance, axis=0)  # [slots, capacity]

    ages_a = ages("fake_a", "BtoA", "b")
    ages_b = ages("fake_b", "AtoB", "a")
    assert np.any(ages_a != ages_b)
    assert len({tuple(row) for row in ages_a}) > 1  # Nor do the slots move together.


@pytest.mark.slow
def test_moving_average_follows_the_generators():
    method = make_method()
    state, _, _ = run(method, 1, num_steps=2, ema_decay=0.5)
    assert sorted(state.ema_params) == ["g_ab", "g_ba"]
    before, _ = start(method)
    first, _, _ = run(method, 1, num_steps=1)
    # The decay is min(0.5, (1 + t) / (10 + t)): 1/10 in step t = 0, then 2/11.
    mean = jax.tree.map(
        lambda a, b, c: 2 / 11 * (0.1 * a + 0.9 * b) + 9 / 11 * c,
        *(s.params["g_ab"] for s in (before, first, state)),
    )
    assert_close(state.ema_params["g_ab"], mean, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_unequal_channels():
    generator = functools.partial(networks.generator, "resnet_1blocks", width=4)
    discriminator = networks.discriminator("n_layers", n_layers=1, width=4)
    method = CycleGAN(
        generator(channels=1),
        generator(channels=3),
        discriminator,
        discriminator,
        channels_a=3,
        channels_b=1,
        weights=LossWeights(identity=0.0),
    )
    optimizer = optax.sgd(0.1)
    state = create_state(method, optimizer, (SIZE, SIZE), 0)
    pools = create_pools(method, 1, 2, (SIZE, SIZE))
    batch = make_batch(slots=1)
    batch["b"] = batch["b"][..., :1]
    step = functools.partial(
        steps.train_step, method=method, optimizer=optimizer, axis_name="batch"
    )
    pmapped = jax.pmap(step, axis_name="batch", in_axes=(None, 0, 0, None))
    add_axis = functools.partial(jax.tree.map, lambda x: x[None])
    state, _, metrics = pmapped(state, add_axis(pools), add_axis(batch), np.uint32(0))
    assert all(np.isfinite(value).all() for value in metrics.values())
