"""Files as people have them, written by PyTorch: which network is which."""

import datetime
import re
import types

import jax
import numpy as np
import pytest

from cyclegan_jax import torch_files
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights import __main__ as command_line
from cyclegan_jax.torch_weights import choosing, finding

torch = pytest.importorskip("torch")
oracle = pytest.importorskip("tests.oracle.networks")


def resnet(norm="instance", seed=0, **kwargs):
    torch.manual_seed(seed)
    net = oracle.ResnetGenerator(width=2, blocks=kwargs.pop("blocks", 1), norm=norm)
    oracle.init_weights(net, "normal", 0.15)
    return net.eval()


def discriminator(**kwargs):
    return oracle.PatchDiscriminator(width=2, layers=1, **kwargs)


A, B = resnet(seed=1), resnet(seed=2)
PHOTO = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def prefixed(prefix, net):
    return {prefix + name: value for name, value in net.state_dict().items()}


def choose(tmp_path, value, name="some.pth", *, role="", norm=""):
    torch.save(value, tmp_path / name)
    source = f"{role}={tmp_path / name}" if role else f"{tmp_path / name}"
    return choosing.choose([choosing.Source.parse(source)], norm)


def assert_translates(network, theirs):
    """As PyTorch does."""
    with torch.no_grad():
        expected = theirs(PHOTO).numpy().transpose(0, 2, 3, 1)
    photo = PHOTO.numpy().transpose(0, 2, 3, 1)
    actual = network.module.apply(network.variables, photo)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3)


def momentum(net):
    """Of SGD: a tensor of each parameter's shape, in the network's order."""
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(PHOTO).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def averaged(net):
    return torch.optim.swa_utils.AveragedModel(net).state_dict()


ONE = {
    "plain": lambda: A.state_dict(),
    "nested": lambda: {"epoch": 3, "netG_A": A.state_dict(), "optimizer": {"lr": 1}},
    "momentum": lambda: {"optimizer": momentum(resnet()), "net": A.state_dict()},
    "Lightning": lambda: {"state_dict": prefixed("genX.", A), "epoch": 3},
    "DataParallel": lambda: prefixed("module.", A),
    "compiled": lambda: prefixed("_orig_mod.module.", A),
    "deep": lambda: {"a": {"b": [{"net": A.state_dict()}]}},
    "averaged": lambda: averaged(A),
    "whole": lambda: A,
    "half": lambda: {k: v.double() for k, v in A.state_dict().items()},
    "renamed": lambda: {
        re.sub("conv_block", "block", k): v for k, v in A.state_dict().items()
    },
    "numbered": lambda: {f"p{i}": v for i, v in enumerate(A.state_dict().values())},
    "other names": lambda: {
        k.replace("model.1.", "initial.").replace("model.2", "x.model.2"): v
        for k, v in A.state_dict().items()
    },
}


@pytest.mark.parametrize("name", ONE)
def test_one_generator(tmp_path, name):
    choice = choose(tmp_path, ONE[name]())
    assert list(choice.networks) == ["g_ab"]
    assert_translates(choice.networks["g_ab"].network, A)


@pytest.mark.parametrize("blocks", [2, 12])
def test_safetensors_do_not_keep_the_order(tmp_path, blocks):
    from safetensors.torch import save_file

    net = resnet("batch", blocks=blocks)
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    read = torch_files.read_all(tmp_path / "a.safetensors")
    (part,) = finding.look(read, "a").parts
    assert_translates(part.network, net)
    words = {"1": "initial", "4": "down.0", "7": "down.1", "10": "res", "11": "up.0"}
    words |= {"14": "up.1", "18": "last"}
    plain = resnet(blocks=1)
    named = {
        re.sub(r"^model\.(\d+)", lambda m: words[m[1]], name): value
        for name, value in plain.state_dict().items()
    }
    save_file(dict(sorted(named.items())), tmp_path / "b.safetensors")
    read = torch_files.read_all(tmp_path / "b.safetensors")
    (part,) = finding.look(read, "b").parts
    assert_translates(part.network, plain)


def test_four_networks_and_the_rest(tmp_path):
    nets = {
        "netG_A": A,
        "netG_B": B,
        "netD_A": discriminator(),
        "netD_B": discriminator(),
    }
    states = {name: net.state_dict() for name, net in nets.items()}
    more = {"epoch": 3, "opt": momentum(resnet()), "vgg": {"x": torch.ones(2, 2)}}
    choice = choose(tmp_path, states | more)
    where = {name: one.where for name, one in choice.networks.items()}
    assert where == dict(zip(("g_ab", "g_ba", "d_b", "d_a"), nets, strict=True))
    assert_translates(choice.networks["g_ba"].network, B)
    (left_out,) = choice.left_out.values()
    assert {item.split(" ")[0] for item in left_out} == {"epoch", "opt", "vgg"}


def test_a_moving_average_comes_along(tmp_path):
    for value in (
        {"G": A.state_dict(), "G_ema": B.state_dict()},
        {"model": A.state_dict(), "ema": B.state_dict()},
        {"netG_A": A.state_dict(), "ema.netG_A": B.state_dict()},
    ):
        chosen = choose(tmp_path, value).networks["g_ab"]
        assert_translates(chosen.network, A)
        assert_translates(chosen.average, B)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latest_net_G_A", "g_ab"),
        ("netG_B.module.model", "g_ba"),
        ("G_A2B_epoch33", "g_ab"),
        ("state_dict.gen_BA", "g_ba"),
        ("genAB", "g_ab"),
        ("G_XtoY", "g_ab"),
        ("F_YtoX", "g_ba"),
        ("generator-b2a", "g_ba"),
        *((name, "") for name in ("genX", "latest_net_G", "G_avg", "lab", "model", "")),
    ],
)
def test_what_names_say(text, expected):
    assert finding.hint(text, "generator") == expected


def test_two_readings_are_asked_about(tmp_path):
    two = prefixed("genX.", A) | prefixed("genY.", B)
    file = tmp_path / "some.pth"
    with pytest.raises(UserError, match=rf"\(genX, genY\); .* g_ab={file}:genX"):
        choose(tmp_path, two)
    with pytest.raises(UserError, match="say which is which: g_ba="):
        choose(tmp_path, two, role="g_ba")
    sources = [f"g_ab={file}:genY", f"g_ba={file}:genX"]
    choice = choosing.choose([choosing.Source.parse(text) for text in sources])
    assert_translates(choice.networks["g_ab"].network, B)
    with pytest.raises(UserError, match="no network 'genZ', but genX, genY"):
        choosing.choose([choosing.Source.parse(f"g_ab={file}:genZ")])
    with pytest.raises(UserError, match="are both g_ab"):
        choosing.choose([choosing.Source.parse(f"g_ab={file}:genX")] * 2)


def test_domain_of_a_discriminator(tmp_path):
    value = prefixed("gen.", A) | prefixed("disc_A.", discriminator())
    choice = choose(tmp_path, value)
    assert list(choice.networks) == ["g_ab"]
    assert [one.where for one in choice.unassigned] == ["disc_A"]
    assert list(choose(tmp_path, value, role="d_a").networks) == ["d_a"]


def with_norms(make, *, bias, affine=True):
    """A ResNet with other norms, whose convolutions have biases or none."""
    net = resnet("batch", seed=3)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                norm = make(child.num_features, affine=affine, track_running_stats=True)
                setattr(parent, name, norm)
                norm.running_mean.uniform_(-0.1, 0.1)
                norm.running_var.uniform_(0.5, 2)
            if isinstance(child, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and bias:
                child.bias = torch.nn.Parameter(torch.randn(child.out_channels))
    return net


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", ["InstanceNorm2d", "BatchNorm2d"])
def test_norms_with_running_statistics(tmp_path, kind, affine, bias):
    """In PyTorch's evaluation mode both are a batch norm; the biases are taken in."""
    net = with_norms(getattr(torch.nn, kind), bias=bias, affine=affine).eval()
    if affine and not bias:
        (guess,) = choose(tmp_path, net).networks["g_ab"].network.guesses
        assert "--norm=instance_affine" in guess
    else:
        with pytest.raises(UserError, match="--norm=batch normalises by the running"):
            choose(tmp_path, net)
    chosen = choose(tmp_path, net, norm="batch").networks["g_ab"].network
    assert_translates(chosen, net)
    if kind == "InstanceNorm2d":
        norm = "instance_affine" if affine else "instance"
        chosen = choose(tmp_path, net, norm=norm).networks["g_ab"].network
        assert_translates(chosen, net.train())


def test_no_norm_or_one_without_a_trace(tmp_path):
    none = resnet("none")
    other = {f"net{k.removeprefix('model')}": v for k, v in none.state_dict().items()}
    with pytest.raises(UserError, match=r"--norm=none .*--norm=instance normalises"):
        choose(tmp_path, other)
    assert_translates(
        choose(tmp_path, other, norm="none").networks["g_ab"].network, none
    )
    assert choose(tmp_path, none).networks["g_ab"].network.settings["norm"] == "none"


def run_command(*given):
    return command_line.main(arguments.parse(command_line.parser(), [*map(str, given)]))


def test_pix2pix_keeps_its_statistics(tmp_path, capsys):
    torch.manual_seed(0)
    net = oracle.UnetGenerator(width=2, downs=5, norm="batch", dropout=True)
    oracle.init_weights(net, "normal", 0.2)
    torch.save(net.state_dict(), tmp_path / "latest_net_G.pth")
    pairs = discriminator(channels_in=6, norm="batch")
    torch.save(pairs.state_dict(), tmp_path / "latest_net_D.pth")
    given = [tmp_path / "latest_net_G.pth", tmp_path / "latest_net_D.pth"]
    run_command("import", *given, f"--workdir={tmp_path}/run")
    said = capsys.readouterr().out
    assert "Guessed: method pix2pix" in said
    assert "--config=configs/folder.py" in said
    run = Run.load(tmp_path / "run")
    assert (run.config.method, run.config.test_statistics) == ("pix2pix", "image")
    assert set(run.variables) == {"g_ab", "d_b"}
    for dropout in [m for m in net.modules() if isinstance(m, torch.nn.Dropout)]:
        dropout.p = 0.0
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = net.train()(photo).numpy().transpose(0, 2, 3, 1)
    module = run.method.modules["g_ab"].clone(axis_name=None)
    actual, _ = module.apply(
        run.variables["g_ab"],
        photo.numpy().transpose(0, 2, 3, 1),
        train=True,
        mutable=["batch_stats"],
    )
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_the_run_has_both_and_says_so(tmp_path, capsys):
    torch.save({"G": A.state_dict(), "G_ema": B.state_dict()}, tmp_path / "a.pth")
    run_command("import", tmp_path / "a.pth", f"--workdir={tmp_path}/run")
    assert "with its moving average" in capsys.readouterr().out
    plain = Run.load(tmp_path / "run", average=False).variables["g_ab"]
    average = Run.load(tmp_path / "run").variables["g_ab"]
    (a,) = choose(tmp_path, A).networks.values()
    (b,) = choose(tmp_path, B).networks.values()
    same = [
        jax.tree.all(jax.tree.map(np.array_equal, one["params"], other))
        for one, other in (
            (plain, a.network.variables["params"]),
            (average, b.network.variables["params"]),
        )
    ]
    assert same == [True, True]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"epoch": 3}, "holds no tensors"),
        ({"x": {"w": torch.ones(2)}}, "no convolution"),
        ({"mlp_0.0.weight": torch.ones(2, 3)}, "heads of CUT's loss.*leave it out"),
        ({"a": torch.zeros(2, 2, 2, 2, dtype=torch.bits8)}, "holds no tensors"),
        ({"net": {"a.weight": torch.ones(4, 3, 9, 9)}}, "is expected|missing after"),
    ],
)
def test_files_without_a_network(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        choose(tmp_path, value)


UNUSUAL = {
    "a tensor of torch.bits8": lambda v: torch.zeros(v.shape, dtype=torch.bits8),
    "a sparse tensor": lambda v: v.to_sparse_csr(),
    "a tensor without numbers": lambda v: v.to("meta"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("what", UNUSUAL)
def test_tensors_that_are_no_plain_numbers_are_named(tmp_path, what):
    state = A.state_dict()
    convert = {k: UNUSUAL[what](v) if v.ndim > 1 else v for k, v in state.items()}
    with pytest.raises(UserError, match=rf"{what} \('model\.1\.weight'\): in PyTorch"):
        choose(tmp_path, convert)
    one = state | {"model.4.weight": convert["model.4.weight"]}
    with pytest.raises(UserError, match=rf"{what} \('model\.4\.weight'\): in PyTorch"):
        choose(tmp_path, one)
    choose(tmp_path, state)  # The advice.


PLAIN = {
    "quantized": lambda v: torch.quantize_per_tensor(v, 0.01, 0, torch.qint8),
    "sparse": lambda v: v.to_sparse(),
    "NumPy's": lambda v: v.numpy(),
}


@pytest.mark.filterwarnings("ignore:torch.quantize")
@pytest.mark.parametrize("what", PLAIN)
def test_tensors_that_become_plain_numbers(tmp_path, what):
    state = A.state_dict()
    convert = {k: PLAIN[what](v) if v.ndim > 1 else v for k, v in state.items()}
    if what == "quantized":
        plain = {k: v.dequantize() for k, v in convert.items() if v.ndim > 1}
        state = state | plain
    found, expected = choose(tmp_path, convert), choose(tmp_path, state)
    both = (one.networks["g_ab"].network.variables for one in (found, expected))
    assert jax.tree.all(jax.tree.map(np.array_equal, *both))


def test_tensors_of_no_network_are_named(tmp_path):
    rest = {"rng": torch.zeros(8, dtype=torch.uint8), "at": {"step": torch.tensor(3)}}
    choice = choose(tmp_path, {"models": {"G": A.state_dict(), "ema": 0.5}} | rest)
    assert list(choice.left_out.values()) == [("models.ema", "rng", "at")]


def test_settings_of_a_run_beside_its_weights(tmp_path):
    settings = types.SimpleNamespace(rate=1e-4, started=datetime.datetime(2020, 1, 2))
    choice = choose(tmp_path, {"net": A.state_dict(), "args": settings})
    assert_translates(choice.networks["g_ab"].network, A)
    assert list(choice.left_out.values()) == [("args",)]
