"""Options of discriminators, against PyTorch: spectral norm, penalties, two rates."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import cogan, streets
from cyclegan_jax.core import losses, networks, optimizers, slots, steps
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights import numbering
from cyclegan_jax.torch_weights import runs as torch_runs
from cyclegan_jax.training import init_from
from tests.test_steps import assert_close, make_batch, make_method, run, start


def torch_network(rng, kind="patch", **kwargs):
    pytest.importorskip("torch")
    from tests.oracle import recipes

    return recipes.build(rng, kind, {"width": 4, **kwargs})


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("patch", networks.PatchDiscriminator(n_layers=2, width=4)),
        ("pixel", networks.PixelDiscriminator(width=4, norm="none")),
    ],
)
def test_spectral_norm_is_pytorchs(kind, ours):
    """Scores, vectors and gradients of two training steps in a row."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    options = {"layers": 2} if kind == "patch" else {"norm": "none"}
    net = torch_network(rng, kind, **options)
    state = {k: v.numpy().astype(np.float32) for k, v in net.state_dict().items()}
    module = ours.clone(spectral_norm=True)
    images = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    variables = module.init(jax.random.key(1), images)
    params = torch_names.from_torch(ours, state)["params"]
    plain = ours.init(jax.random.key(1), images)["params"]
    jax.tree.map(np.testing.assert_array_equal, plain, variables["params"])

    paths = numbering.layers(ours).items()
    convolutions = {layer: path[0] for layer, path in paths if "conv" in path[0]}
    stats = variables["batch_stats"]

    def vector(stats, name):
        return stats[f"{name}_spectral"][f"{name}/kernel/u"][0]

    for layer, name in convolutions.items():
        conv = torch.nn.utils.spectral_norm(net.get_submodule(layer))
        conv.weight_u.copy_(torch.tensor(np.asarray(vector(stats, name))))

    @jax.jit
    def step(params, stats):
        def cubes(params):
            variables = {"params": params, "batch_stats": stats}
            y, new = module.apply(
                variables, images, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(y**3), (y, new["batch_stats"])

        return jax.grad(cubes, has_aux=True)(params)

    for _ in range(2):
        gradient, (y, stats) = step(params, stats)
        net.zero_grad()
        expected = net(torch.tensor(images).double().movedim(-1, 1))
        torch.sum(expected**3).backward()
        expected = expected.movedim(1, -1).detach().numpy()
        assert_near(y, expected)
        for layer, name in convolutions.items():
            conv = net.get_submodule(layer)
            assert_near(vector(stats, name), conv.weight_u.numpy())
            kernel = conv.weight_orig.grad.permute(2, 3, 1, 0).numpy()
            assert_near(gradient[name]["kernel"], kernel)
    plain = ours.apply({"params": params}, images, train=True)
    assert np.max(np.abs(plain - expected)) > 1e-2


def assert_near(actual, expected):
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * scale)


def normalised(**kwargs):
    method = make_method(**kwargs)
    d = method.discriminator_a.clone(spectral_norm=True)
    return dataclasses.replace(method, discriminator_a=d, discriminator_b=d)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_step_moves_the_vectors(norm):
    """And devices do not matter."""
    method = normalised(norm=norm)
    before = start(method)[0].norm_stats["d_a"]
    state, _, metrics = run(method, 1)
    after = state.norm_stats["d_a"]
    changed = jax.tree.map(lambda x, y: np.any(x != y), before, after)
    assert all(jax.tree.leaves(changed))
    assert_close((state, metrics), (lambda s, _, m: (s, m))(*run(method, 2)))


@pytest.mark.slow
def test_every_slot_moves_them_alike():
    """What `same_bits` relies on: the statistics of any slot are those of the step."""
    method = normalised()
    state, _ = start(method)
    batch = make_batch()
    real = steps.real_images(batch)
    arrays = real | {"fake_a": real["real_b"], "fake_b": real["real_a"]}
    keys = jax.vmap(jax.random.key)(np.arange(4))
    phase = jax.jit(functools.partial(slots.phase, method=method, number=1))
    results = []
    for slot in range(2):
        own = jax.tree.map(lambda x, i=slot: x[i : i + 1], arrays)
        place = np.array([slot], np.int32)
        results.append(phase(state, own, place, np.uint32(0))[2])
    *_, whole = steps.gradients(method, method.phases[1], state, arrays, keys, 1)
    jax.tree.map(np.testing.assert_array_equal, results[0], results[1])
    assert_close(results[0], whole)
    assert jax.tree.leaves(results[0])
    assert not np.array_equal(
        jax.tree.leaves(results[0])[-1], jax.tree.leaves(state.norm_stats)[-1]
    )


def test_a_run_without_spectral_norm_can_initialise_one_with_it():
    state, _ = start(normalised())
    plain, _ = start(make_method())

    variables = {name: {"params": plain.params[name]} for name in plain.params}
    other = types.SimpleNamespace(workdir="runs/plain", variables=variables)
    started = init_from.start_from(other, state)
    jax.tree.map(np.testing.assert_array_equal, started.params, plain.params)
    jax.tree.map(np.testing.assert_array_equal, started.norm_stats, state.norm_stats)


def test_no_pth_file_with_spectral_norm():
    module = networks.PatchDiscriminator(spectral_norm=True)
    with pytest.raises(UserError, match="spectral_norm=False"):
        torch_names.to_torch(module, {"params": {}})


def test_generators_are_exported_without_such_discriminators(tmp_path, capsys):
    state, _ = start(normalised())
    variables = {name: {"params": state.params[name]} for name in ("g_ab", "d_b")}
    run = types.SimpleNamespace(
        workdir="runs/x",
        config=types.SimpleNamespace(method="cyclegan"),
        variables=variables,
        method=normalised(),
    )
    written = torch_runs.export_weights(run, tmp_path)
    assert [path.name for path in written] == ["latest_net_G_A.pth"]
    told = capsys.readouterr().err
    assert told.startswith("left out d_b: ")
    assert "with spectral_norm=True, only with spectral_norm=False." in told


def test_zero_centred_penalty_is_pytorchs():
    """Of the mean of the scores, with its gradient by the parameters."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    net = torch_network(rng, layers=1)
    module = networks.PatchDiscriminator(n_layers=1, width=4)
    state = {k: v.numpy().astype(np.float32) for k, v in net.state_dict().items()}
    params = torch_names.from_torch(module, state)["params"]
    real, fake = rng.uniform(-1, 1, (2, 3, 16, 16, 3)).astype(np.float32)
    mixing = rng.uniform(0, 1, 3).astype(np.float32)
    kind = losses.GAN_LOSSES["lsgan_gp"].gradient_penalty

    @jax.value_and_grad
    def penalty(params):
        score = functools.partial(module.apply, {"params": params})
        return losses.gradient_penalty(score, real, fake, mixing, kind)

    value, gradient = penalty(params)
    share = torch.tensor(mixing).double().reshape(-1, 1, 1, 1)
    a, b = (torch.tensor(x).double().movedim(-1, 1) for x in (real, fake))
    point = (share * a + (1 - share) * b).requires_grad_()
    scores = net(point).mean(dim=(1, 2, 3))
    (slope,) = torch.autograd.grad(scores.sum(), point, create_graph=True)
    expected = slope.square().sum(dim=(1, 2, 3)).mean()
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-4)
    for layer, path in numbering.layers(module).items():
        if "conv" in path[0]:
            weight = net.get_submodule(layer).weight.grad.permute(2, 3, 1, 0)
            assert_near(gradient[path[0]]["kernel"], weight.numpy())


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_two_learning_rates_are_pytorchs(decay):
    torch = pytest.importorskip("torch")
    config = streets.get_config("smoke").optimizer
    config.learning_rate, config.discriminator_rate = 1e-3, 4e-3
    config.weight_decay = decay
    optimizer = optimizers.adam(optax.constant_schedule(1e-3), config)
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    theirs = {n: torch.tensor(weights, dtype=torch.float64) for n in ("g_ab", "d_a")}
    adam = torch.optim.Adam(
        [
            {"params": [theirs["g_ab"]], "lr": 1e-3},
            {"params": [theirs["d_a"]], "lr": 4e-3},
        ],
        betas=(config.beta1, config.beta2),
        weight_decay=decay,
    )
    state, _ = start(make_method())
    params = {name: jnp.asarray(weights) for name in theirs}
    state = state.replace(
        params=params, opt_state={n: optimizer.init(p) for n, p in params.items()}
    )
    for gradient in ([0.1, -0.2, 0.3], [1.0, 0.0, -0.5]):
        for tensor in theirs.values():
            tensor.grad = torch.tensor(gradient, dtype=torch.float64)
        adam.step()
        grads = {name: jnp.array(gradient) for name in params}
        state = steps.update(state, optimizer, grads)
    for name, expected in theirs.items():
        np.testing.assert_allclose(state.params[name], expected, rtol=1e-6)
    # The same state as with one rate: a run can change it when it is resumed.
    single = optimizers.adam(
        optax.constant_schedule(1e-3), streets.get_config().optimizer
    )
    if not decay:
        one, two = (jax.tree.structure(o.init(weights)) for o in (single, optimizer))
        assert one == two


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (cogan, {"discriminator.spectral_norm": True}, "cogan.*spectral_norm"),
        (cogan, {"loss.gan_mode": "lsgan_gp"}, "gradient penalty"),
        (
            streets,
            {"optimizer.learning_rate": 0.0, "optimizer.discriminator_rate": 1e-4},
            "discriminator_rate",
        ),
    ],
)
def test_what_is_refused(base, changes, message):
    config = base.get_config("smoke")
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        Experiment.of(config)
