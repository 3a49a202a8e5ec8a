"""The PyTorch oracle agrees with the published facts and with its golden files."""

import json
import random

import numpy as np
import pytest

from tests.oracle import cases

torch = pytest.importorskip("torch")

from tests.oracle import golden, networks, recipes, training  # noqa: E402
from tests.oracle.learning_rates import multipliers  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """The networks are so small that threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameter_count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: networks.ResnetGenerator(), 11_378_179),
        (lambda: networks.ResnetGenerator(blocks=6), 7_837_699),
        (lambda: networks.ResnetGenerator(norm="instance_affine"), 11_388_675),
        (lambda: networks.UnetGenerator(downs=8), 54_413_955),
        (lambda: networks.UnetGenerator(downs=7), 41_828_995),
        (lambda: networks.PatchDiscriminator(), 2_764_737),
        (lambda: networks.PatchDiscriminator(6, norm="batch"), 2_768_705),
    ],
)
def test_published_parameter_counts(build, count):
    with torch.device("meta"):
        assert parameter_count(build()) == count


def test_published_resnet_keys():
    keys = list(networks.ResnetGenerator(width=1).state_dict())
    layers = ["1", "4", "7"]
    layers += [f"{10 + i}.conv_block.{j}" for i in range(9) for j in (1, 5)]
    layers += ["19", "22", "26"]
    assert keys == [f"model.{n}.{w}" for n in layers for w in ("weight", "bias")]
    dropout = networks.ResnetGenerator(width=1, blocks=1, norm="batch", dropout=True)
    assert "model.10.conv_block.6.weight" in dropout.state_dict()
    assert "model.10.conv_block.7.running_mean" in dropout.state_dict()
    assert "model.10.conv_block.6.bias" not in dropout.state_dict()
    assert "model.17.weight" not in dropout.state_dict()


def test_published_unet_and_discriminator_keys():
    unet = networks.UnetGenerator(downs=5, width=1).state_dict()
    weights = {k for k, v in unet.items() if v.ndim == 4}
    level, expected = "model.model.1.", {"model.model.0.weight", "model.model.3.weight"}
    for _ in range(3):
        expected |= {f"{level}model.1.weight", f"{level}model.5.weight"}
        level += "model.3."
    assert weights == expected | {f"{level}model.{i}.weight" for i in (1, 3)}
    assert "model.model.3.bias" in unet
    assert "model.model.0.bias" not in unet
    patch = networks.PatchDiscriminator(width=1)
    layers = [f"model.{i}." for i in (0, 2, 5, 8, 11)]
    assert list(patch.state_dict()) == [
        n + w for n in layers for w in ("weight", "bias")
    ]
    pixel = networks.PixelDiscriminator(width=1, norm="batch").state_dict()
    assert {k for k, v in pixel.items() if v.ndim == 4} == {
        f"net.{i}.weight" for i in (0, 2, 5)
    }
    assert "net.5.bias" not in pixel


@pytest.mark.parametrize(
    ("layers", "receptive_field"),
    [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286), (6, 574)],
)
def test_receptive_field(layers, receptive_field):
    size = 1
    convs = networks.PatchDiscriminator(width=1, layers=layers).model
    for conv in reversed([m for m in convs if isinstance(m, torch.nn.Conv2d)]):
        size = (size - 1) * conv.stride[0] + conv.kernel_size[0]
    assert size == receptive_field


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("normal", 0.02),
        ("xavier", 0.02 * (2 / (576 + 576)) ** 0.5),
        ("kaiming", (2 / 576) ** 0.5),
        ("orthogonal", 0.02 / 576**0.5),
    ],
)
def test_initialisation(init, std):
    torch.manual_seed(0)
    net = networks.ResnetGenerator(width=16, blocks=1, norm="batch")
    networks.init_weights(net, init)
    weight = net.model[10].conv_block[1].weight.detach()
    assert weight.shape == (64, 64, 3, 3)
    assert float(weight.std()) == pytest.approx(std, rel=0.02)
    scale = net.model[10].conv_block[2].weight.detach()
    assert float(scale.std()) == pytest.approx(0.02, rel=0.2)
    assert float(scale.mean()) == pytest.approx(1.0, abs=0.015)
    assert not net.model[18].bias.any()


def test_dead_biases_are_the_parameters_without_gradient():
    net = networks.UnetGenerator(downs=6, width=4, norm="instance").double()
    x = torch.from_numpy(recipes.images(np.random.default_rng(0), 1, 3, 64, 64))
    net(x.double()).square().sum().backward()
    largest = {k: float(p.grad.abs().max()) for k, p in net.named_parameters()}
    dead = {k for k, g in largest.items() if g < 1e-9 * max(largest.values())}
    assert dead == set(networks.dead_biases(net))


def test_every_parameter_shows_in_the_golden_outputs():
    """No golden network is deaf to a parameter (or comparing outputs proves little)."""
    for name in golden.CASES:
        if name.split("_")[0] not in recipes.NETWORKS:
            continue
        case = cases.load_case(name)
        kwargs = case["config"]["kwargs"]
        net = recipes.NETWORKS[case["config"]["network"]](**kwargs)
        state = {k: torch.tensor(v) for k, v in cases.subtree(case, "state").items()}
        x = torch.from_numpy(case["input"]).movedim(-1, 1)
        net.train(case["config"]["train"])
        for key, _ in net.named_parameters():
            # Uneven, as an instance norm takes a common factor out again.
            uneven = torch.linspace(0.5, 1.0, state[key].numel())
            changed = state[key] * uneven.reshape(state[key].shape)
            net.load_state_dict(state | {key: changed})
            with torch.no_grad():
                output = net(x).movedim(1, -1).numpy()
            if key not in case["dead_biases"]:
                change = np.abs(output - case["output"]).max()
                assert change > 1e-3, (name, key, change)


def test_gradient_penalty_of_a_linear_critic():
    """Four logits of disjoint patches: the gradient of their sum is w four times."""
    critic = torch.nn.Conv2d(3, 1, kernel_size=2, stride=2, bias=False).double()
    real, fake = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    penalty = training.gradient_penalty(critic, real, fake, torch.rand(5))
    norm = critic.weight.detach().norm()
    assert penalty.item() == pytest.approx(float((2 * norm - 1) ** 2))
    penalty.backward()
    slope = 4 * (2 * norm - 1) / norm
    torch.testing.assert_close(critic.weight.grad, slope * critic.weight.detach())


def test_gradient_penalty_is_taken_at_the_mix():
    """D(x) = |x|^2 / 2 has the gradient x."""

    def critic(x):
        return 0.5 * x.square().sum((1, 2, 3), keepdim=True)

    real, fake = torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 1.0)
    penalty = training.gradient_penalty(critic, real, fake, torch.tensor([0.25, 1.0]))
    assert penalty.item() == pytest.approx(((2 * 1.5 - 1) ** 2 + (2 * 3 - 1) ** 2) / 2)


class Recorder(random.Random):
    """Notes the decisions of a `RandomPool` as (swap, index)."""

    def uniform(self, a, b):
        self.last = super().uniform(a, b)
        self.decisions[-1] = (self.last > 0.5, 0)
        return self.last

    def randint(self, a, b):
        index = super().randint(a, b)
        self.decisions[-1] = (True, index)
        return index


def test_random_and_scripted_pool_agree():
    rng = Recorder(3)
    rng.decisions = []
    drawn, scripted = training.RandomPool(5, rng), training.ScriptedPool(5)
    swaps = 0
    for t in range(200):
        rng.decisions.append((False, 0))
        expected = drawn.query([float(t)])
        out = scripted.query(torch.tensor([float(t)]), [rng.decisions[-1]])
        assert out.tolist() == expected
        swaps += expected != [float(t)]
    assert 70 < swaps < 130


def test_pool_statistics_are_those_of_the_published_pool():
    """Half come from the pool, where the mean stay is 50 images x 2 queries."""
    ages = cases.load_case("pool_statistics")["ages"]
    swapped = ages[1:].sum() / ages.sum()
    assert swapped == pytest.approx(0.5, abs=0.015)
    stay = (np.arange(len(ages)) * ages).sum() / ages[1:].sum()
    assert stay == pytest.approx(100, rel=0.05)


def test_linear_schedules_have_the_published_values():
    epochs = [1, 99, 100, 101, 102, 199, 200]

    def at(*args):
        return multipliers(*args)[np.array(epochs) - 1]

    end = [1, 1, 1, 100 / 101, 99 / 101, 2 / 101, 1 / 101]
    start = [1, 1, 100 / 101, 99 / 101, 98 / 101, 1 / 101, 0]
    np.testing.assert_allclose(at("linear", "end"), end)
    np.testing.assert_allclose(at("linear", "start"), start, atol=1e-15)
    lua = [1, 1, 1, 1, 0.99, 0.02, 0.01]
    np.testing.assert_allclose(at("lua_linear"), lua)
    for position in ("end", "start"):
        resumed = multipliers("linear", position, start_epoch=120)
        np.testing.assert_allclose(resumed, multipliers("linear", position)[119:])


def test_losses_of_the_training_cases():
    """Written out once more, from the initial weights of the committed case."""
    case = cases.load_case("train_lsgan_sgd")
    nets = {}
    for name in ("g_ab", "g_ba", "d_a", "d_b"):
        kind = "generator" if name.startswith("g") else "discriminator"
        cls = (
            networks.ResnetGenerator if kind[0] == "g" else networks.PatchDiscriminator
        )
        nets[name] = cls(**case["config"][kind])
        state = cases.subtree(case, f"state/{name}")
        nets[name].load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    a, b = (torch.tensor(case[f"real_{d}"][0]).movedim(-1, 1) for d in "ab")
    with torch.no_grad():
        fake_b = nets["g_ab"](a)
        expected = {
            "g_ab": (nets["d_b"](fake_b) - 1).square().mean(),
            "d_b": (nets["d_b"](b) - 1).square().mean() / 2
            + nets["d_b"](fake_b).square().mean() / 2,
            "cycle_a": 8 * (nets["g_ba"](fake_b) - a).abs().mean(),
            "identity_b": 3 * (nets["g_ab"](b) - b).abs().mean(),
            "identity_a": 2 * (nets["g_ba"](a) - a).abs().mean(),
        }
    for name, value in expected.items():
        assert case[f"loss/{name}"][0] == pytest.approx(value.item(), rel=1e-5), name


def test_golden_files_are_all_there():
    assert cases.case_names() == sorted(golden.CASES)
    assert sum(p.stat().st_size for p in cases.GOLDEN.iterdir()) < 4e6


@pytest.mark.parametrize("name", golden.CASES)
def test_golden_file_is_what_torch_computes_now(name):
    live, stored = golden.torch_case(name), cases.load_case(name)
    assert live.keys() == stored.keys()
    config = json.loads(json.dumps(live.pop("config")))  # Which has no tuples.
    assert config == stored.pop("config")
    for key, value in stored.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(live[key], value, 1e-6, 1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(live[key], value, err_msg=key)
