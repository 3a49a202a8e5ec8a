"""Networks recognised from weights alone, against what PyTorch computes with them."""

import re

import numpy as np
import pytest

from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.recognition import recognise
from tests import slow_but
from tests.oracle import cases

NETWORKS = [n for n in cases.case_names() if "network" in cases.load_case(n)["config"]]
LONGER = ("blurpatch", "blurresnet_batch", "unet_batch_square", "unet_dropout")
QUICK = [n for n in NETWORKS if not n.startswith(LONGER)]


def expected_settings(config):
    kind, kwargs = config["network"], config["kwargs"]
    settings = {"width": kwargs["width"], "norm": kwargs["norm"]}
    if kind in ("resnet", "blurresnet"):
        name = f"resnet_{kwargs['blocks']}blocks"
        settings |= {"name": name, "dropout": kwargs["dropout"]}
        blurs = ("antialias", "antialias_up")
        return settings | {key: True for key in blurs if kwargs.get(key)}
    if kind == "unet":
        return settings | {"name": f"unet_{2 ** kwargs['downs']}"}
    if kind in ("patch", "blurpatch"):
        settings |= {"antialias": True} if kind == "blurpatch" else {}
        return settings | {"name": "n_layers", "n_layers": kwargs["layers"]}
    return settings | {"name": "pixel"}


@pytest.mark.parametrize("name", slow_but(QUICK, NETWORKS))
def test_settings_and_outputs(name):
    case = cases.load_case(name)
    config = case["config"]
    state = cases.subtree(case, "state")
    found = recognise(state, name)
    assert found.settings == expected_settings(config)
    assert found.channels_in == case["input"].shape[-1]
    assert found.channels_out == case["output"].shape[-1]
    generator = config["network"] in ("resnet", "blurresnet", "unet")
    assert found.kind == ("generator" if generator else "discriminator")
    expected = case.get("output_eval", case["output"])
    actual = found.module.apply(found.variables, case["input"])
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)
    back = torch_names.to_torch(found.module, found.variables)
    assert list(back) == list(state)
    for key in state:
        assert (back[key].shape, back[key].dtype) == (
            state[key].shape,
            state[key].dtype,
        )
        if not key.endswith("num_batches_tracked"):  # PyTorch counts, for no use.
            np.testing.assert_array_equal(back[key], state[key])


def weights(name="resnet_instance"):
    return cases.subtree(cases.load_case(name), "state")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes(prefix):
    named = {prefix + key: value for key, value in weights().items()}
    assert recognise(named, "x").settings["name"] == "resnet_2blocks"


@pytest.mark.parametrize(
    "name", ["resnet_instance", "unet_instance_wide", "patch_instance"]
)
def test_old_instance_norms(name):
    """Before PyTorch 0.4 an instance norm saved running statistics, never used."""
    batch = weights(name.replace("instance", "batch"))
    old = weights(name)
    for key, value in batch.items():
        if "running" in key:
            old[key] = value + 1.0
    found, plain = recognise(old, "x"), recognise(weights(name), "x")
    assert found.settings == plain.settings
    assert found.settings["norm"] == "instance"
    assert not found.variables["batch_stats"]


def test_batch_norms_before_2018():
    old = {k: v for k, v in weights("unet_batch_wide").items() if "tracked" not in k}
    assert recognise(old, "x").settings["norm"] == "batch"


def test_half_precision():
    half = {key: value.astype(np.float16) for key, value in weights().items()}
    kernel = recognise(half, "x").variables["params"]["conv_in"]["kernel"]
    assert kernel.dtype == np.float32


def without(key):
    changed = weights()
    del changed[key]
    return changed


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"fc.weight": np.zeros((2, 2))}, "'fc.weight' is .2, 2., neither"),
        ({"x.weight": np.zeros((2, 2, 2, 2))}, "none of the networks known here.*'x'"),
        (
            without("model.4.weight"),
            r"layer 'model\.7' is .16, 8, 3, 3. where .8, 4, 3, 3. is expected",
        ),
        (without("model.19.weight"), r"ResNet.*'model\.1\d"),
        (weights() | {"model.1.weight": np.zeros(3)}, r"'model\.1\.weight' is .3."),
        ({"model.0.weight": np.zeros((4, 3, 4, 4))}, "U-Net|PatchGAN"),
        (weights() | {"model.1.bias": np.zeros(4, int)}, "holds int64, no weights"),
        (weights() | {"model.7.bias": np.zeros(5)}, r"'model\.7' is \[5\] where"),
        (weights() | {"model.99.weight": np.zeros(3)}, "norm after"),
        (weights() | {"odd": np.zeros(3)}, "'odd'|norm after"),
        (weights() | {"more.weight": np.zeros((1, 1, 1, 1))}, "'more' of .* too"),
        (
            {
                k.replace("l.4.weight", "l.4.weight_orig"): v
                for k, v in weights().items()
            },
            "remove_spectral_norm",
        ),
    ],
)
def test_what_does_not_fit_is_named(state, message):
    with pytest.raises(UserError, match=message):
        recognise(state, "file.pth")


def test_blurs_may_be_missing_but_not_one():
    whole = weights("blurresnet_instance")
    blurs = [name for name in whole if name.endswith(".filt")]
    assert len(blurs) == 4
    without = {name: whole[name] for name in whole if name not in blurs}
    found = recognise(without, "x")
    assert found.settings == recognise(whole, "x").settings
    assert "blurred down-sampling (config.generator.antialias)" in found.guesses
    for name in blurs:
        damaged = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(UserError, match=r"ResNet.*blurs"):
            recognise(damaged, "x")
        with pytest.raises(UserError, match=re.escape(name.removesuffix(".filt"))):
            recognise(whole | {name: whole[name] * 1.5}, "x")
    blur = whole[blurs[0]]
    with pytest.raises(UserError, match=r"U-Net.*blurs"):
        recognise(weights("unet_instance_square") | {"x.filt": blur}, "x")


def test_hostile_names_and_shapes():
    """A few bytes cannot ask for a network of a million layers or channels."""
    with pytest.raises(UserError):
        recognise({"model.model.0.weight": np.zeros((1, 1, 4, 4))}, "x")
    deep = {f"model.{i}.weight": np.zeros((4, 4, 7, 7)) for i in range(990)}
    with pytest.raises(UserError, match="ResNet generator of 64 blocks"):
        recognise(deep, "x")
    wide = weights() | {"model.1.weight": np.broadcast_to(0.0, (2**30, 3, 7, 7))}
    with pytest.raises(UserError, match="its first convolution is"):
        recognise(wide, "x")
    none = {f"{i}.weight": np.zeros((0, 3, 4, 4)) for i in range(3)}
    with pytest.raises(UserError, match="its first convolution is"):
        recognise(none, "x")
