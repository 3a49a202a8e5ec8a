"""How the golden cases of the other systems are computed; see `golden.py`."""

from functools import partial

import numpy as np
import torch

from tests.oracle import cases, cut, methods, recipes

NETWORKS = recipes.NETWORKS | {
    "vgg": methods.vgg,
    "coupled_generator": methods.CoupledGenerator,
    "coupled_discriminator": methods.CoupledDiscriminator,
    "mlp": cut.PatchMLP,
}
TRAINERS = methods.TRAINERS | {"cut": cut.CUT}
# As for the long runs of `golden.py`: no kink within float32 rounding.
SEEDS: dict[str, int] = {}


def method_case(
    rng: np.random.Generator,
    method: str,
    nets: dict[str, tuple[str, dict]],
    settings: dict,
    steps: int = 2,
    size: int = 16,
    latent: int = 0,
    batch: int = 2,
) -> dict:
    """A tiny system, trained for some steps with every random choice written down."""
    settings = {"lr": 0.01, "pool_size": 2, "gan_mode": "lsgan"} | settings
    built = {}
    for name, (kind, kwargs) in nets.items():
        net = NETWORKS[kind](**kwargs).double()
        built[name] = recipes.randomise(rng, net)
    config = {"method": method, "nets": nets, "settings": settings, "steps": steps}
    case = {"config": config}
    for name, net in built.items():
        case |= recipes.arrays(net, f"state/{name}")
    for domain in "ab":
        case[f"real_{domain}"] = recipes.images(rng, steps, batch, size, size, 3)
    kind = TRAINERS[method]
    for pool in kind.pools:
        place = rng.integers(0, settings["pool_size"] // batch, (steps, batch))
        case[f"swap_{pool}"] = rng.random((steps, batch)) > 0.5
        case[f"index_{pool}"] = place * batch + np.arange(batch)
    if latent:
        drawn = rng.uniform(-1, 1, (steps, batch, latent))
        case["latent"] = drawn.astype(np.float32)
    if method == "cut":
        case |= _patches(rng, settings, (steps, batch), size)
    trainer, log = kind(built, settings), []
    for t in range(steps):
        decisions = {
            p: list(zip(case[f"swap_{p}"][t], case[f"index_{p}"][t], strict=True))
            for p in kind.pools
        }
        a, b = (
            torch.from_numpy(case[f"real_{d}"][t]).double().movedim(-1, 1) for d in "ab"
        )
        extra = {}
        if latent:
            extra["latent"] = torch.from_numpy(case["latent"][t]).double()
        if method == "cut":
            extra["flipped"] = torch.from_numpy(case["flipped"][t])
            for name in ("places_a", "places_b"):
                places = cases.subtree(case, name).values()
                extra[name] = [torch.from_numpy(one[t]) for one in places]
        log.append(trainer.step(a, b, decisions, extra))
    for name, net in built.items():
        case |= recipes.arrays(net, f"after_{steps}/{name}")
    return case | {f"loss/{k}": np.array([row[k] for row in log]) for k in log[0]}


def _patches(rng, settings, shape, size):
    """Places of patches in the layers of an image of `size`, and which are flipped."""
    sides = {0: size + 6, 4: size, 8: size // 2, 12: size // 4}
    case = {"flipped": rng.random(shape) > 0.5}
    for name in ("places_a", "places_b"):
        for layer in settings["layers"]:
            drawn = rng.permuted(
                np.tile(np.arange(sides[layer] ** 2), (*shape, 1)), axis=-1
            )
            case[f"{name}/{layer}"] = drawn[..., : settings["patches"]].astype(np.int32)
    return case


def _cases():
    # Norms that divide by the statistics of a few values would blow up rounding.
    instance = {"width": 2, "norm": "instance"}
    generator = ("resnet", instance | {"blocks": 1})
    discriminator = ("patch", instance | {"layers": 2})
    batch = {"width": 2, "norm": "batch"}
    feature = {
        "g_ab": generator,
        "d_b": discriminator,
        "vgg": ("vgg", {"width": 2}),
    }
    made = {
        "pix2pix": partial(
            method_case,
            method="pix2pix",
            nets={
                "g_ab": ("unet", batch | {"downs": 5}),
                "d_b": ("patch", batch | {"layers": 2, "channels_in": 6}),
            },
            settings={"gan_mode": "vanilla", "l1": 100.0, "lr": 0.001},
            size=32,
        ),
        "simgan": partial(
            method_case,
            method="simgan",
            nets={"g_ab": generator, "d_b": discriminator},
            settings={"content": 10.0},
        ),
        "bigan": partial(
            method_case,
            method="bigan",
            nets={
                "g_ab": generator,
                "g_ba": generator,
                "d_ab": ("patch", instance | {"layers": 2, "channels_in": 6}),
            },
            settings={},
            steps=3,
        ),
    }
    layers = [0, 4, 8, 12]
    cut = {"layers": layers, "patches": 12, "temperature": 0.07}
    # Rates that move weights by less than their size: PyTorch in float32 stays close.
    identity = {"nce": 0.5, "nce_identity": 0.5, "flip_equivariance": False, "lr": 2e-3}
    flips = {"nce": 10.0, "nce_identity": 0.0, "flip_equivariance": True, "lr": 1e-4}
    for name, weights in (("cut", identity), ("fastcut", flips)):
        made[name] = partial(
            method_case,
            method="cut",
            nets={
                "g_ab": ("blurresnet", instance | {"blocks": 1}),
                "d_b": ("blurpatch", instance | {"layers": 2}),
                "f_ab": ("mlp", {"channels": [3, 4, 8, 8], "width": 6}),
            },
            settings=cut | weights,
        )
    for name, lua in (("feature_gan", False), ("feature_gan_lua", True)):
        settings = {"content": 10.0, "vgg_size": 24, "lua_gradient": lua}
        made[name] = partial(
            method_case, method="feature_gan", nets=feature, settings=settings
        )
    for name, normed in (("cogan", False), ("cogan_batch", True)):
        discriminator = {"size": 32, "width": 1, "normed": normed}
        made[name] = partial(
            method_case,
            method="cogan",
            nets={
                "g": ("coupled_generator", {"latent": 6, "size": 32, "width": 1}),
                "d": ("coupled_discriminator", discriminator),
            },
            settings={"gan_mode": "vanilla"},
            size=32,
            latent=6,
            batch=4,
        )
    return {f"method_{name}": make for name, make in made.items()}


CASES = _cases()
