"""Writes the golden files: `python -m tests.oracle.golden` (needs PyTorch).

Everything is computed in float64 on one thread and stored as float32 (losses and
learning rates as float64), so the files are the exact values, the same on any machine,
and a float32 program differs from them by its own rounding only. Weights are
drawn with NumPy, larger than the published 0.02 for a good signal, and rounded to
multiples of 1/256 so that the files compress.
Images have 8-bit levels, x / 127.5 - 1: `np.round((x + 1) * 127.5)` are the uint8.
Kinds of case:

- network (`resnet_*`, `unet_*`, `patch_*`, `pixel_*`, `blurresnet_*`, `blurpatch_*`):
  "input", "output" [B, H, W, C], "state/<torch key>", "dead_biases"; config: "network",
  its "kwargs" (those of `networks.py` and `blurred.py`) and "train", the mode of
  "output". With batch norm in train mode also "output_eval" (from the same state) and
  "after/<torch key>", the running statistics after the train-mode call.
- `train_*`: "real_a", "real_b" [T, B, H, W, C], "swap_a", "index_a", "swap_b",
  "index_b" [T, B] (pool decisions), "alpha_a", "alpha_b" [T, B], "state/<net>/<key>",
  "loss/<name>" [T], "after_<t>/<net>/<key>" after step t, "dead_biases/<net>". In a
  batch, image i only ever swaps with pool places j where j % B == i, so the decisions
  suit one shared pool as well as one pool for each place of the batch (place j // B).
- `method_*`: "real_a", "real_b" [T, B, H, W, C], "swap_<pool>", "index_<pool>" [T, B]
  as above, "latent" [T, B, Z] (CoGAN), "places_a/<layer>", "places_b/<layer>"
  [T, B, P], "flipped" [T, B] (CUT), "state/<net>/<key>", "loss/<name>" [T],
  "after_<T>/<net>/<key>"; config: "method", "nets": name -> [kind, kwargs], "settings",
  "steps". Each network has an SGD of its own.
- `pool_scripted`: "images", "output" [T, H, W, C], "swap", "index" [T].
- `pool_statistics`: the random pool fed one image at a time: "ages" [n], how many of
  the outputs were k queries old; of the outputs, a fraction "swapped" came from a swap.
- `schedules`: "<policy>_<position>" [200] and "short/..." multipliers.
- `losses`: "logits" [N], "<mode>/d_real", "<mode>/d_fake", "<mode>/g".

The weights of `FILES` are there as `<case>.pth` and `<case>.legacy.pth`, too.

Leave the dead biases out when comparing parameters: see `networks.dead_biases`. Here
they stay where they were; in float32, Adam moves them at full speed, at random.
"""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from tests.oracle import cases, method_cases, recipes
from tests.oracle.cases import GOLDEN
from tests.oracle.training import Settings

# With these, no ReLU or L1 kink of the longer runs lies within float32 rounding: torch
# in float32 stays within 3e-6 of the losses and 2e-6 of the parameters. Past a kink on
# the other side, a run in float32 is off by up to 1e-2 and compares to nothing.
SEEDS = {"train_lsgan_adam": 44, "train_lsgan_sgd_batch_norm": 1}
SEEDS |= method_cases.SEEDS
# Weights that are also kept as PyTorch's own files, in its two formats.
FILES = ("resnet_instance", "unet_batch_wide", "patch_layers_2", "pixel_batch")
NORMS = ("instance", "instance_affine", "batch", "none")


def _cases() -> dict[str, Callable[[np.random.Generator], dict]]:
    made = {}

    def network(name: str, *shape: int, **kwargs) -> None:
        kind = name.split("_")[0]
        made[name] = partial(recipes.network_case, network=kind, shape=shape, **kwargs)

    for norm in NORMS:
        network(f"resnet_{norm}", 2, 16, 20, 3, width=4, blocks=2, norm=norm)
        network(f"unet_{norm}_square", 2, 32, 32, 3, downs=5, width=2, norm=norm)
        network(f"unet_{norm}_wide", 1, 32, 64, 3, downs=5, width=3, norm=norm)
        network(f"patch_{norm}", 2, 32, 40, 3, width=4, norm=norm)
        network(f"pixel_{norm}", 2, 8, 6, 3, width=4, norm=norm)
    eval_mode = {"train": False, "dropout": True}
    gray = {"channels_in": 1, "channels_out": 2, "blocks": 1, "width": 4}
    network("resnet_gray", 1, 16, 16, 1, **gray)
    network("resnet_dropout_eval", 1, 16, 16, 3, width=4, blocks=1, **eval_mode)
    network("unet_gray", 1, 32, 32, 1, channels_in=1, channels_out=2, downs=5, width=2)
    network("unet_six_downs", 1, 64, 64, 3, downs=6, width=2, norm="instance")
    network("unet_dropout_eval", 1, 64, 64, 3, downs=6, width=2, **eval_mode)
    network("patch_conditional", 2, 32, 32, 6, channels_in=6, width=4, norm="batch")
    for layers, size in ((1, 16), (2, 16), (4, 64)):
        network(f"patch_layers_{layers}", 2, size, size, 3, width=4, layers=layers)
    for layers, size in ((5, 128), (6, 256)):
        deep = {"channels_in": 1, "width": 2, "layers": layers}
        network(f"patch_layers_{layers}", 1, size, size, 1, **deep)

    for norm in ("instance", "batch"):
        network(f"blurresnet_{norm}", 2, 16, 20, 3, width=2, blocks=2, norm=norm)
        network(f"blurpatch_{norm}", 2, 32, 40, 3, width=2, norm=norm)
    half = {"width": 2, "blocks": 1}
    network("blurresnet_no_up", 1, 16, 16, 3, antialias_up=False, **half)
    network("blurresnet_only_up", 1, 16, 16, 3, antialias=False, **half)

    unequal = {"lambda_a": 8.0, "lambda_b": 12.0, "lambda_identity": 0.25}
    sgd = unequal | {"optimizer": "sgd", "lr": 0.01}

    def training(name: str, settings: dict, **size) -> None:
        chosen = Settings(pool_size=4, **settings)
        made[f"train_{name}"] = partial(recipes.training_case, settings=chosen, **size)

    training("lsgan_adam", unequal, steps=20)
    training("lsgan_sgd", sgd)
    training("lsgan_sgd_batch_norm", sgd, steps=3, norm="batch")
    training("no_identity_sgd", sgd | {"lambda_identity": 0.0})
    training("vanilla_sgd", sgd | {"gan_mode": "vanilla"})
    training("hinge_sgd", sgd | {"gan_mode": "hinge"})
    wgan = sgd | {"gan_mode": "wgangp"}
    training("wgangp_sgd", wgan | {"gradient_penalty": 10.0})
    training("wgan_without_penalty_sgd", wgan)
    for name in ("pool_scripted", "pool_statistics", "schedules", "losses"):
        made[name] = getattr(recipes, name)
    return made


CASES = _cases() | method_cases.CASES


def torch_case(name: str) -> dict:
    """Computes a golden case with PyTorch, now; the same as `cases.load_case(name)`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return CASES[name](np.random.default_rng(SEEDS.get(name, 0)))
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in CASES:
        case = torch_case(name)
        case["config"] = np.array(json.dumps(case["config"]))
        np.savez_compressed(GOLDEN / f"{name}.npz", **case)
        print(name)
    for name in FILES:
        state = cases.subtree(cases.load_case(name), "state")
        tensors = {key: torch.from_numpy(value) for key, value in state.items()}
        new, old = GOLDEN / f"{name}.pth", GOLDEN / f"{name}.legacy.pth"
        torch.save(tensors, new)
        torch.save(tensors, old, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
