"""The other systems against PyTorch: losses, and gradients by the steps they make.

The cases (tests/golden/method_*.npz) were computed once in float64; where PyTorch is
installed, they are computed again on the spot. Every network has a plain gradient step
of its own, so that equal parameters mean equal gradients. Tolerances are those of
`test_parity`; they do not apply to the running statistics of discriminators, which
nothing reads and which depend on the order of real and generated images.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cyclegan_jax.core import image_pool, networks, steps
from cyclegan_jax.core.methods import cogan, cut
from cyclegan_jax.core.methods.bigan import BiGAN
from cyclegan_jax.core.methods.content_gan import LUA_GRADIENT, ContentGAN
from cyclegan_jax.core.methods.pix2pix import Pix2Pix
from cyclegan_jax.core.networks import projection, vgg
from cyclegan_jax.core.state import TrainState, create_pools
from cyclegan_jax.torch_weights import names as torch_names
from tests import slow_but
from tests.oracle import cases

METHODS = cases.case_names("method_")
QUICK = ("method_pix2pix", "method_simgan")


def build(kind, kwargs):
    common = {k: kwargs[k] for k in ("width", "norm") if k in kwargs}
    if kind == "resnet":
        return networks.ResNetGenerator(blocks=kwargs["blocks"], **common)
    if kind == "unet":
        return networks.UNetGenerator(downs=kwargs["downs"], **common)
    if kind == "patch":
        return networks.PatchDiscriminator(n_layers=kwargs["layers"], **common)
    if kind == "blurresnet":
        blurred = {"antialias": True, "antialias_up": True}
        return networks.ResNetGenerator(blocks=kwargs["blocks"], **blurred, **common)
    if kind == "blurpatch":
        return networks.PatchDiscriminator(
            n_layers=kwargs["layers"], antialias=True, **common
        )
    if kind == "mlp":
        return projection.PatchProjection(
            heads=len(kwargs["channels"]), width=kwargs["width"]
        )
    return None  # Its method knows which.


def build_method(case):
    """Returns the method of a case."""
    config = case["config"]
    s, nets = config["settings"], config["nets"]
    modules = {name: build(*net) for name, net in nets.items()}
    if config["method"] == "pix2pix":
        return Pix2Pix(*modules.values(), l1=s["l1"], gan_mode=s["gan_mode"])
    if config["method"] == "bigan":
        return BiGAN(*modules.values(), gan_mode=s["gan_mode"])
    if config["method"] == "cut":
        names = ("nce", "nce_identity", "patches", "temperature", "flip_equivariance")
        chosen = {name: s[name] for name in names}
        return cut.CUT(*modules.values(), layers=tuple(s["layers"]), **chosen)
    if config["method"] == "cogan":
        kwargs = nets["g"][1]
        generator = networks.CoupledGenerator(
            size=kwargs["size"], width=kwargs["width"]
        )
        discriminator = networks.CoupledDiscriminator(
            width=kwargs["width"],
            norm="batch" if nets["d"][1]["normed"] else "none",
            dropout=False,
        )
        return cogan.CoGAN(generator, discriminator, latent_size=kwargs["latent"])
    features, gradient = None, 1.0
    if "vgg" in nets:
        features = vgg.VGG16(size=s["vgg_size"], width=nets["vgg"][1]["width"])
        gradient = LUA_GRADIENT if s["lua_gradient"] else 1.0
    return ContentGAN(
        modules["g_ab"],
        modules["d_b"],
        features,
        content=s["content"],
        feature_gradient=gradient,
    )


def from_torch(case, name, prefix):
    """A network's variables in our layout, from a case."""
    tensors = cases.subtree(case, f"{prefix}/{name}")
    kind, kwargs = case["config"]["nets"][name]
    if kind == "vgg":
        return {"params": vgg.from_torch(vgg.VGG16(**kwargs), tensors, "case")}
    if kind.startswith("coupled"):
        return coupled(tensors, kind)
    return torch_names.from_torch(build(kind, kwargs), tensors)


def coupled(tensors, kind):
    """CoGAN's networks; the layers of ours are in the order of PyTorch's."""
    params, stats = {}, {}
    generator = kind == "coupled_generator"

    def norm(theirs, ours):
        if f"{theirs}.weight" not in tensors:
            return
        weight, bias = tensors[f"{theirs}.weight"], tensors[f"{theirs}.bias"]
        params[ours] = {"scale": weight, "bias": bias}
        mean, var = (tensors[f"{theirs}.running_{k}"] for k in ("mean", "var"))
        stats[ours] = {"mean": mean, "var": var}

    def prelu(theirs, ours):
        slope = tensors[f"{theirs}.weight"].reshape(())
        params[ours] = {"negative_slope": slope}

    def conv(theirs, ours, transposed=False):
        weight = tensors[f"{theirs}.weight"]
        if transposed:
            kernel = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        else:
            kernel = weight.transpose(2, 3, 1, 0)
        params[ours] = {"kernel": kernel}
        if f"{theirs}.bias" in tensors:
            params[ours]["bias"] = tensors[f"{theirs}.bias"]

    full = tensors["full.weight"]
    if generator:
        # PyTorch's outputs are [C, 4, 4], ours [4, 4, C].
        latent = full.shape[1]
        kernel = full.reshape(-1, 4, 4, latent).transpose(3, 1, 2, 0)
        params["full"] = {"kernel": kernel.reshape(latent, -1)}
        norm("full_norm", "full_norm")
        prelu("full_prelu", "full_prelu")
        for i in range(sum(t.ndim == 4 for k, t in tensors.items() if k[:2] == "up")):
            conv(f"up.{3 * i}", f"up_{i}", transposed=True)
            norm(f"up.{3 * i + 1}", f"up_{i}_norm")
            prelu(f"up.{3 * i + 2}", f"up_{i}_prelu")
        conv("out_a", "out_a")
        conv("out_b", "out_b")
    else:
        conv("first_a", "conv_0_a")
        conv("first_b", "conv_0_b")
        for i in range(6):
            if i:
                conv(f"rest.{3 * i - 1}", f"conv_{i}")
            norm(f"rest.{3 * i}", f"norm_{i}")
            prelu(f"rest.{3 * i + 1}", f"prelu_{i}")
        params["full"] = {"kernel": full.T}
        if "full.bias" in tensors:
            params["full"]["bias"] = tensors["full.bias"]
        norm("full_norm", "norm_6")
        prelu("full_prelu", "prelu_6")
        out = {"kernel": tensors["out.weight"].T, "bias": tensors["out.bias"]}
        params["out"] = out
    return {"params": params, "batch_stats": stats}


def start(case, method, optimizer):
    """Returns the state and the pools of a case."""
    loaded = {name: from_torch(case, name, "state") for name in case["config"]["nets"]}
    params = {n: jax.tree.map(jnp.asarray, v["params"]) for n, v in loaded.items()}
    trained = [name for phase in method.phases for name in phase.players]
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={name: optimizer.init(params[name]) for name in trained},
        norm_stats={
            n: v["batch_stats"] for n, v in loaded.items() if v.get("batch_stats")
        },
        ema_params={},
    )
    slots, size = case["real_a"].shape[1], case["real_a"].shape[2:4]
    pool_size = case["config"]["settings"]["pool_size"]
    return state, create_pools(method, slots, pool_size, size)


def scripted_step(method, optimizer, monkeypatch):
    """Returns a step whose random choices are arguments."""

    def step(state, pools, batch, script):
        names = iter(sorted(method.pools))  # In the order of the calls.

        def draw(keys, capacity):
            name = next(names)
            return script[f"swap_{name}"], script[f"index_{name}"]

        monkeypatch.setattr(image_pool, "draw", draw)
        monkeypatch.setattr(cogan, "draw_latent", lambda *_: script["latent"])
        monkeypatch.setattr(cut, "draw_flips", lambda _: script["flipped"])
        places = iter([script.get("places_a"), script.get("places_b")])
        monkeypatch.setattr(projection, "draw", lambda *_: next(places))
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


def inputs(case, t):
    """The batch and the random choices of step t."""
    slots = case["real_a"].shape[1]
    batch = {"slot": np.arange(slots, dtype=np.int32)}
    for d in "ab":
        batch[d] = np.round((case[f"real_{d}"][t] + 1) * 127.5).astype(np.uint8)
    script = {k: v[t] for k, v in case.items() if k.startswith("swap_")}
    for k, v in case.items():
        if k.startswith("index_"):  # One shared pool there, one a slot here.
            script[k] = (v[t] // slots).astype(np.int32)
    for name in {"latent", "flipped"} & set(case):
        script[name] = case[name][t]
    for name in ("places_a", "places_b"):
        script[name] = tuple(x[t] for x in cases.subtree(case, name).values())
    return batch, script


@pytest.mark.parametrize("name", slow_but(QUICK, METHODS))
def test_training(name, monkeypatch):
    case = cases.load_case(name)
    method = build_method(case)
    optimizer = optax.sgd(case["config"]["settings"]["lr"])
    state, pools = start(case, method, optimizer)
    step = scripted_step(method, optimizer, monkeypatch)
    last = case["config"]["steps"]
    for t in range(last):
        state, pools, metrics = step(state, pools, *inputs(case, t))
        for term, values in cases.subtree(case, "loss").items():
            bound = 1e-5 * max(1.0, abs(values[t]))
            assert abs(metrics[term] - values[t]) < bound, (term, t)
        assert len(metrics) == len(cases.subtree(case, "loss"))
    for network in case["config"]["nets"]:
        expected = from_torch(case, network, f"after_{last}")
        compare(state.params[network], expected["params"], network)
        if network.startswith("g") and expected.get("batch_stats"):
            compare(state.norm_stats[network], expected["batch_stats"], network)


def compare(actual, expected, network):
    def close(path, ours, theirs):
        message = f"{network} {jax.tree_util.keystr(path)}"
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=5e-6, err_msg=message)

    jax.tree_util.tree_map_with_path(close, actual, expected)
