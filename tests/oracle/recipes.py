"""How each kind of golden case is computed; `golden.py` describes what they hold."""

import inspect
import random
from dataclasses import asdict

import numpy as np
import torch

from tests.oracle import networks
from tests.oracle.blurred import BlurredPatch, BlurredResnet
from tests.oracle.learning_rates import multipliers
from tests.oracle.training import (
    CycleGANTrainer,
    RandomPool,
    ScriptedPool,
    Settings,
    gan_loss_d,
    gan_loss_g,
)

NETWORKS = {
    "resnet": networks.ResnetGenerator,
    "unet": networks.UnetGenerator,
    "patch": networks.PatchDiscriminator,
    "pixel": networks.PixelDiscriminator,
    "blurresnet": BlurredResnet,
    "blurpatch": BlurredPatch,
}


def images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """White noise with 8-bit levels: float32 in [-1, 1]."""
    return (rng.integers(0, 256, shape) / 127.5 - 1.0).astype(np.float32)


def build(rng: np.random.Generator, network: str, kwargs: dict) -> torch.nn.Module:
    """A float64 network with random weights, biases and running statistics."""
    return randomise(rng, NETWORKS[network](**kwargs).double())


def randomise(rng: np.random.Generator, net: torch.nn.Module) -> torch.nn.Module:
    """Draws all weights of a network in place, larger than the published ones."""
    for key, value in net.state_dict().items():
        if value.dtype == torch.int64 or key.endswith(".filt"):
            continue
        std = 0.2 if value.ndim == 1 else 1.5 / np.sqrt(value[0].numel())
        drawn = rng.normal(0.0, std, value.shape)
        if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
            drawn = 1.0 + np.clip(drawn, -0.5, 0.5)
        value.copy_(torch.from_numpy(np.round(drawn * 256) / 256))
    return net


def explicit(network: str, kwargs: dict) -> dict:
    """The arguments of a network with its defaults filled in, to be written down."""
    bound = inspect.signature(NETWORKS[network]).bind(**kwargs)
    bound.apply_defaults()
    return bound.arguments


def arrays(net: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """The state_dict as float32 arrays (copies) under `prefix/`."""
    state = {f"{prefix}/{k}": v.numpy() for k, v in net.state_dict().items()}
    return {k: v.astype(np.float32) if v.ndim else v.copy() for k, v in state.items()}


def network_case(
    rng: np.random.Generator, network: str, shape: tuple, train: bool = True, **kwargs
) -> dict:
    """One network applied to one batch of images."""
    kwargs = explicit(network, kwargs)
    net = build(rng, network, kwargs)
    x = images(rng, *shape)

    @torch.no_grad()
    def apply(train: bool) -> np.ndarray:
        y = net.train(train)(torch.from_numpy(x).double().movedim(-1, 1))
        return y.movedim(1, -1).numpy().astype(np.float32)

    config = {"network": network, "kwargs": kwargs, "train": train}
    case = {"config": config, "input": x, **arrays(net, "state")}
    case["dead_biases"] = np.array(networks.dead_biases(net), dtype=np.str_)
    if kwargs["norm"] == "batch" and train:
        case["output_eval"] = apply(False)
    case["output"] = apply(train)
    if "output_eval" in case:
        after = arrays(net, "after")
        case |= {k: v for k, v in after.items() if "running" in k}
    return case


def training_case(
    rng: np.random.Generator,
    settings: Settings,
    steps: int = 1,
    norm: str = "instance",
    batch: int = 2,
) -> dict:
    """A tiny CycleGAN with its two domains, trained for some steps."""
    kwargs = {"width": 2, "norm": norm}
    generator = explicit("resnet", kwargs | {"blocks": 1})
    discriminator = explicit("patch", kwargs | {"layers": 2})
    nets = {n: build(rng, "resnet", generator) for n in ("g_ab", "g_ba")}
    nets |= {n: build(rng, "patch", discriminator) for n in ("d_a", "d_b")}
    config = {"generator": generator, "discriminator": discriminator}
    described = asdict(settings) | {"betas": list(settings.betas)}
    case = {"config": config | {"settings": described, "steps": steps}}
    for name, net in nets.items():
        case |= arrays(net, f"state/{name}")
        case[f"dead_biases/{name}"] = np.array(networks.dead_biases(net), np.str_)
    for domain in "ab":
        shape = (steps, batch)
        place = rng.integers(0, max(1, settings.pool_size // batch), shape)
        case[f"real_{domain}"] = images(rng, steps, batch, 16, 16, 3)
        case[f"swap_{domain}"] = rng.random(shape) > 0.5
        case[f"index_{domain}"] = place * batch + np.arange(batch)
        case[f"alpha_{domain}"] = rng.random(shape).astype(np.float32)
    return case | train(CycleGANTrainer(nets, settings), case)


def train(trainer: CycleGANTrainer, case: dict) -> dict:
    """Runs the steps of a training case; returns its losses and later states."""
    results, log = {}, []
    steps = case["config"]["steps"]
    for t in range(steps):
        decisions = {
            d: list(zip(case[f"swap_{d}"][t], case[f"index_{d}"][t], strict=True))
            for d in "ab"
        }
        reals = case["real_a"][t], case["real_b"][t]
        alphas = case["alpha_a"][t], case["alpha_b"][t]
        log.append(trainer.step(*reals, decisions["a"], decisions["b"], *alphas))
        if t + 1 in (1, steps):
            for name, net in trainer.nets.items():
                results |= arrays(net, f"after_{t + 1}/{name}")
    return results | {f"loss/{k}": np.array([row[k] for row in log]) for k in log[0]}


def pool_scripted(rng: np.random.Generator, size: int = 3, queries: int = 30) -> dict:
    """A small pool with batches of one image and arbitrary decisions."""
    x = images(rng, queries, 2, 2, 1)
    swap, index = rng.random(queries) > 0.5, rng.integers(0, size, queries)
    pool = ScriptedPool(size)
    out = [
        pool.query(torch.from_numpy(x[t : t + 1]), [(swap[t], index[t])])[0].numpy()
        for t in range(queries)
    ]
    case = {"config": {"size": size}, "images": x, "swap": swap, "index": index}
    return case | {"output": np.stack(out)}


def pool_statistics(
    _: np.random.Generator, size: int = 50, draws: int = 20_000
) -> dict:
    """What comes out of the full random pool, for batches of one image."""
    pool = RandomPool(size, random.Random(0))
    times = range(size + draws)
    ages = np.array([t - pool.query([t])[0] for t in times][size:])
    config = {"size": size, "draws": draws}
    return {"config": config, "ages": np.bincount(ages), "swapped": np.mean(ages > 0)}


def schedules(_: np.random.Generator) -> dict:
    """Every policy with the published numbers of epochs, and with few epochs."""
    case = {"config": {"short": {"epochs": 3, "decay_epochs": 4, "step_every": 2}}}
    for policy in ("linear", "step", "cosine"):
        for position in ("end", "start"):
            key = f"{policy}_{position}"
            case[key] = multipliers(policy, position)
            case[f"short/{key}"] = multipliers(policy, position, 3, 4, 2)
    case["lua_linear"] = multipliers("lua_linear")
    case["short/lua_linear"] = multipliers("lua_linear", "end", 3, 4)
    return case


def losses(rng: np.random.Generator) -> dict:
    """Each adversarial loss on the same logits."""
    logits = rng.normal(0.0, 2.0, 64).astype(np.float32)
    case, x = {"config": {}, "logits": logits}, torch.from_numpy(logits).double()
    for mode in ("lsgan", "vanilla", "wgangp", "hinge"):
        case[f"{mode}/d_real"] = gan_loss_d(mode, x, True).numpy()
        case[f"{mode}/d_fake"] = gan_loss_d(mode, x, False).numpy()
        case[f"{mode}/g"] = gan_loss_g(mode, x).numpy()
    return case
