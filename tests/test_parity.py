"""Parity with PyTorch: an independent implementation of the published code.

Every case is compared with numbers that PyTorch computed once, in float64
(tests/golden). That it computes the same numbers today is test_oracle.py's concern.

Tolerances: float32 has a relative precision of 6e-8. An output passes through up to
about 20 sums of up to 2304 products, each followed by a norm: 1e-5 of the largest
output allows for roundings that add up like a random walk. Losses are means of such
outputs, so 1e-5 relative, too. Adam moves every parameter by about its learning rate,
2e-4, in a step, whatever the size of the gradient; a relative error of 1e-3 in a small
gradient moves it by 2e-7. 20 steps move it by up to 4e-3, and 5e-6 is a thousandth of
that. Biases in front of an instance norm have no effect and a gradient of rounding
noise, which Adam turns into full steps: they are left out ("dead biases").
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from cyclegan_jax import torch_files
from cyclegan_jax.core import image_pool, losses, networks, schedules, steps
from cyclegan_jax.core.methods.cyclegan import CycleGAN, LossWeights
from cyclegan_jax.core.state import TrainState, create_pools
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.recognition import recognise
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.training.init_from import start_from
from tests import slow_but
from tests.oracle import cases

NETWORKS = [n for n in cases.case_names() if "network" in cases.load_case(n)["config"]]
LONGER = ("blur", "unet_batch_square", "unet_gray", "unet_dropout")
QUICK = [n for n in NETWORKS if not n.startswith(LONGER)]
TRAINING = [n for n in cases.case_names() if n.startswith("train")]
NAMES = ("g_ab", "g_ba", "d_a", "d_b")
SLOTS = 2


def build(network, kwargs):
    common = {"width": kwargs["width"], "norm": kwargs["norm"]}
    if network == "patch":
        return networks.PatchDiscriminator(n_layers=kwargs["layers"], **common)
    if network == "blurpatch":
        return networks.PatchDiscriminator(
            n_layers=kwargs["layers"], antialias=True, **common
        )
    if network == "pixel":
        return networks.PixelDiscriminator(**common)
    common |= {"channels": kwargs["channels_out"], "dropout": kwargs["dropout"]}
    if network == "unet":
        return networks.UNetGenerator(downs=kwargs["downs"], **common)
    for key in {"antialias", "antialias_up"} & set(kwargs):
        common[key] = kwargs[key]
    return networks.ResNetGenerator(blocks=kwargs["blocks"], **common)


def assert_close(actual, expected, bound):
    """Within `bound` of the largest expected value."""
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("name", slow_but(QUICK, NETWORKS))
def test_outputs(name):
    case = cases.load_case(name)
    config = case["config"]
    module = build(config["network"], config["kwargs"])
    variables = torch_names.from_torch(module, cases.subtree(case, "state"))
    y, new = module.apply(
        variables, case["input"], train=config["train"], mutable=["batch_stats"]
    )
    assert_close(y, case["output"], 1e-5)
    if "output_eval" in case:  # With running statistics.
        y = module.apply(variables, case["input"], train=False)
        assert_close(y, case["output_eval"], 1e-5)
        after = torch_names.from_torch(module, cases.subtree(case, "after"))
        compare = functools.partial(assert_close, bound=1e-5)
        jax.tree.map(compare, new["batch_stats"], after["batch_stats"])


def build_training(case):
    """Returns the method, optimiser, state and pools of a training case."""
    config, settings = case["config"], case["config"]["settings"]
    kinds = {
        "g": ("resnet", config["generator"]),
        "d": ("patch", config["discriminator"]),
    }
    modules = {name: build(*kinds[name[0]]) for name in NAMES}
    method = CycleGAN(
        *modules.values(),
        weights=LossWeights(
            cycle_a=settings["lambda_a"],
            cycle_b=settings["lambda_b"],
            identity=settings["lambda_identity"],
            gradient_penalty=settings["gradient_penalty"],
        ),
        gan_mode=settings["gan_mode"],
    )
    if settings["optimizer"] == "adam":
        optimizer = optax.adam(settings["lr"], *settings["betas"])
    else:
        optimizer = optax.sgd(settings["lr"])
    loaded = {
        name: torch_names.from_torch(
            modules[name], cases.subtree(case, f"state/{name}")
        )
        for name in NAMES
    }
    params = {name: jax.tree.map(jnp.asarray, loaded[name]["params"]) for name in NAMES}
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={name: optimizer.init(params[name]) for name in NAMES},
        norm_stats={n: v["batch_stats"] for n, v in loaded.items() if v["batch_stats"]},
        ema_params={},
    )
    size = case["real_a"].shape[2:4]
    pools = create_pools(method, SLOTS, settings["pool_size"], size)
    return method, optimizer, state, pools


def scripted_step(method, optimizer, monkeypatch):
    """Returns a step whose pool decisions and mixing numbers are arguments."""

    def step(state, pools, batch, script):
        domains, discriminators = iter("ab"), iter("ba")  # In the order of the calls.

        def draw(keys, capacity):
            domain = next(domains)
            return script[f"swap_{domain}"], script[f"index_{domain}"]

        def penalty(score, real, fake, mixing, kind):
            mixing = script[f"alpha_{next(discriminators)}"]
            return PENALTY(score, real, fake, mixing, kind)

        monkeypatch.setattr(image_pool, "draw", draw)
        monkeypatch.setattr(losses, "gradient_penalty", penalty)
        return steps.train_step(
            state,
            pools,
            batch,
            jnp.uint32(0),
            method=method,
            optimizer=optimizer,
            axis_name="batch",
        )

    mapped = jax.vmap(step, axis_name="batch", in_axes=None, axis_size=1)
    return jax.jit(lambda *args: jax.tree.map(lambda x: x[0], mapped(*args)))


PENALTY = losses.gradient_penalty


def script_of(case, t):
    """The batch and the random decisions of step t."""
    script = {f"alpha_{d}": case[f"alpha_{d}"][t] for d in "ab"}
    batch = {"slot": np.arange(SLOTS, dtype=np.int32)}
    for d in "ab":
        script[f"swap_{d}"] = case[f"swap_{d}"][t]
        # The oracle's one pool holds the slots' pools side by side.
        script[f"index_{d}"] = (case[f"index_{d}"][t] // SLOTS).astype(np.int32)
        batch[d] = np.round((case[f"real_{d}"][t] + 1) * 127.5).astype(np.uint8)
    return batch, script


@pytest.mark.parametrize("name", slow_but(["train_lsgan_adam"], TRAINING))
def test_training(name, monkeypatch):
    case = cases.load_case(name)
    method, optimizer, state, pools = build_training(case)
    step = scripted_step(method, optimizer, monkeypatch)
    last = case["config"]["steps"]
    for t in range(last):
        batch, script = script_of(case, t)
        state, pools, metrics = step(state, pools, batch, script)
        for term, values in cases.subtree(case, "loss").items():
            bound = 1e-5 * max(1.0, abs(values[t]))
            assert abs(metrics[term] - values[t]) < bound, (term, t)
        if t + 1 in (1, last):
            for network in NAMES:
                assert_parameters(case, method, state, network, t + 1)


def assert_parameters(case, method, state, network, step):
    variables = {
        "params": state.params[network],
        "batch_stats": state.norm_stats.get(network, {}),
    }
    actual = torch_names.to_torch(method.modules[network], variables)
    for key, expected in cases.subtree(case, f"after_{step}/{network}").items():
        if key in case[f"dead_biases/{network}"] or key.endswith("tracked"):
            continue
        message = f"{network} {key} after step {step}"
        np.testing.assert_allclose(
            actual[key], expected, rtol=1e-5, atol=5e-6, err_msg=message
        )


POLICIES = {
    "linear": "linear_end",
    "linear_2020": "linear_start",
    "linear_lua": "lua_linear",
    "step": "step_end",
    "cosine": "cosine_end",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_learning_rates(policy):
    case = cases.load_case("schedules")
    for prefix, numbers in (("", (100, 100, 50)), ("short/", (3, 4, 2))):
        expected = case[prefix + POLICIES[policy]]
        epochs = np.arange(1, len(expected) + 1)
        actual = [schedules.multiplier(policy, e, *numbers) for e in epochs]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "kwargs", "size", "bound"),
    [
        ("resnet", {"blocks": 9}, (256, 256), 1e-5),
        ("resnet", {"blocks": 9}, (128, 192), 1e-5),
        ("resnet", {"blocks": 6}, (256, 256), 1e-5),
        ("unet", {"downs": 8}, (256, 512), 1e-4),
        ("unet", {"downs": 7}, (256, 256), 1e-4),
        ("patch", {"layers": 3}, (256, 256), 1e-5),
        ("patch", {"layers": 5}, (192, 256), 1e-5),
        ("pixel", {}, (128, 192), 1e-5),
    ],
)
def test_published_sizes(network, kwargs, size, bound, tmp_path):
    """Full width: from PyTorch's own file of either format, and back into PyTorch."""
    torch = pytest.importorskip("torch")
    from tests.oracle import networks as oracle

    classes = {
        "resnet": oracle.ResnetGenerator,
        "unet": oracle.UnetGenerator,
        "patch": oracle.PatchDiscriminator,
        "pixel": oracle.PixelDiscriminator,
    }
    norm = "batch" if network == "unet" else "instance"
    torch.manual_seed(0)
    theirs, again = (classes[network](width=64, norm=norm, **kwargs) for _ in range(2))
    oracle.init_weights(theirs, "normal", 0.02)
    x = np.random.default_rng(0).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    photo = torch.from_numpy(x.transpose(0, 3, 1, 2))
    for new in (True, False):
        path = tmp_path / f"{new}.pth"
        torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=new)
    with torch.no_grad():
        expected = theirs(photo).numpy()  # Moves running statistics.
        for new in (True, False):
            path = tmp_path / f"{new}.pth"
            found = recognise(torch_files.read(path), path)
            actual, _ = found.module.apply(
                found.variables, x, train=True, mutable=["batch_stats"]
            )
            assert_close(actual, expected.transpose(0, 2, 3, 1), bound)

            back = torch_names.to_torch(found.module, found.variables)
            for key, tensor in torch_files.read(path).items():
                assert back[key].shape == tensor.shape
                assert np.array_equal(back[key], tensor)
            torch_files.write(tmp_path / "back.pth", back)
            loaded = torch.load(tmp_path / "back.pth", weights_only=True)
            again.load_state_dict(loaded, strict=True)
            assert torch.equal(again(photo), torch.from_numpy(expected))


@pytest.mark.slow
def test_step_from_an_imported_run(tmp_path, monkeypatch):
    """Written to files, imported, and trained: the first step is PyTorch's."""
    case = cases.load_case("train_lsgan_sgd")
    method, optimizer, state, pools = build_training(case)
    files = {name: tmp_path / f"{name}.pth" for name in NAMES}
    for name, file in files.items():
        torch_files.write(file, cases.subtree(case, f"state/{name}"))
    import_weights(files, tmp_path / "run", default.get_config())
    blank = jax.tree.map(jnp.zeros_like, state)
    state = start_from(Run.load(tmp_path / "run"), blank)
    step = scripted_step(method, optimizer, monkeypatch)
    state, pools, metrics = step(state, pools, *script_of(case, 0))
    for term, values in cases.subtree(case, "loss").items():
        assert abs(metrics[term] - values[0]) < 1e-5 * max(1.0, abs(values[0])), term
    for network in NAMES:
        assert_parameters(case, method, state, network, 1)
