"""What tests of translations share: a small run, and pictures."""

import pathlib

import ml_collections
import numpy as np

from configs import folder
from cyclegan_jax import torch_files
from cyclegan_jax.torch_weights.runs import import_weights
from tests.oracle import cases


def make_run(
    path: pathlib.Path, config: ml_collections.ConfigDict | None = None
) -> pathlib.Path:
    """A run with two small ResNets whose weights came from PyTorch."""
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    path.mkdir(parents=True, exist_ok=True)
    weights = {name: path / f"{name}.pth" for name in ("g_ab", "g_ba")}
    for file in weights.values():
        torch_files.write(file, state)
    import_weights(weights, path / "run", config or folder.get_config())
    return path / "run"


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth, with a dark half and a flat corner: no part is like the whole."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = 127 + 90 * np.sin(x / 9 + seed) * np.cos(y / 13)
    values = (waves + rng.normal(0, 9, (height, width)))[..., None] * [1, 0.8, 0.5]
    values[height // 2 :] *= 0.4
    values[: height // 4, : width // 4] = 7
    return np.clip(values, 0, 255).astype(np.uint8)
