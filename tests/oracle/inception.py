"""The FID network in PyTorch, as a table of branches, and its golden features.

`python -m tests.oracle.inception` writes tests/golden/inception.npz (needs PyTorch).
Weights are drawn with NumPy, by name, so that no file has to hold them.
"""

import hashlib

import numpy as np

from tests.oracle.cases import GOLDEN


def _line(*layers):
    return list(layers)


# A layer: (name, channels out, height, width, stride), or a pooling by name. A nested
# tuple of layers runs side by side on the same input.
def _a(pool):
    return [
        _line(("branch1x1", 64, 1, 1, 1)),
        _line(("branch5x5_1", 48, 1, 1, 1), ("branch5x5_2", 64, 5, 5, 1)),
        _line(
            ("branch3x3dbl_1", 64, 1, 1, 1),
            ("branch3x3dbl_2", 96, 3, 3, 1),
            ("branch3x3dbl_3", 96, 3, 3, 1),
        ),
        _line("average", ("branch_pool", pool, 1, 1, 1)),
    ]


_B = [
    _line(("branch3x3", 384, 3, 3, 2)),
    _line(
        ("branch3x3dbl_1", 64, 1, 1, 1),
        ("branch3x3dbl_2", 96, 3, 3, 1),
        ("branch3x3dbl_3", 96, 3, 3, 2),
    ),
    _line("halve"),
]


def _c(inner):
    return [
        _line(("branch1x1", 192, 1, 1, 1)),
        _line(
            ("branch7x7_1", inner, 1, 1, 1),
            ("branch7x7_2", inner, 1, 7, 1),
            ("branch7x7_3", 192, 7, 1, 1),
        ),
        _line(
            ("branch7x7dbl_1", inner, 1, 1, 1),
            ("branch7x7dbl_2", inner, 7, 1, 1),
            ("branch7x7dbl_3", inner, 1, 7, 1),
            ("branch7x7dbl_4", inner, 7, 1, 1),
            ("branch7x7dbl_5", 192, 1, 7, 1),
        ),
        _line("average", ("branch_pool", 192, 1, 1, 1)),
    ]


_D = [
    _line(("branch3x3_1", 192, 1, 1, 1), ("branch3x3_2", 320, 3, 3, 2)),
    _line(
        ("branch7x7x3_1", 192, 1, 1, 1),
        ("branch7x7x3_2", 192, 1, 7, 1),
        ("branch7x7x3_3", 192, 7, 1, 1),
        ("branch7x7x3_4", 192, 3, 3, 2),
    ),
    _line("halve"),
]


def _e(pool):
    return [
        _line(("branch1x1", 320, 1, 1, 1)),
        _line(
            ("branch3x3_1", 384, 1, 1, 1),
            (("branch3x3_2a", 384, 1, 3, 1), ("branch3x3_2b", 384, 3, 1, 1)),
        ),
        _line(
            ("branch3x3dbl_1", 448, 1, 1, 1),
            ("branch3x3dbl_2", 384, 3, 3, 1),
            (("branch3x3dbl_3a", 384, 1, 3, 1), ("branch3x3dbl_3b", 384, 3, 1, 1)),
        ),
        _line(pool, ("branch_pool", 192, 1, 1, 1)),
    ]


_BLOCKS = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _B,
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _D,
    "Mixed_7b": _e("average"),
    "Mixed_7c": _e("maximum"),
}


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Draws tensors of these names and shapes (PyTorch's), each by its name."""
    drawn = {}
    for name, shape in shapes.items():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        if len(shape) == 4:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith(("running_var", "bn.weight")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.1, shape)
        drawn[name] = value.astype(np.float32)
    return drawn


def pictures() -> np.ndarray:
    """Two pictures in [-1, 1], float32 [2, 299, 299, 3]."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (2, 299, 299, 3)).astype(np.float32)


def features(tensors: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Computes [B, 2048] features with PyTorch in float64."""
    import torch
    from torch.nn import functional

    def conv(x, block, layer, inside=True):
        name, _, height, width, stride = layer
        full = f"{block}.{name}" if block else name
        get = {
            key: torch.from_numpy(tensors[f"{full}.{key}"]).double()
            for key in ("conv.weight", "bn.weight", "bn.bias")
        }
        mean, var = (
            torch.from_numpy(tensors[f"{full}.bn.running_{key}"]).double()
            for key in ("mean", "var")
        )
        padding = (height // 2, width // 2) if inside and stride == 1 else 0
        x = functional.conv2d(x, get["conv.weight"], None, stride, padding)
        x = functional.batch_norm(
            x, mean, var, get["bn.weight"], get["bn.bias"], False, 0.0, 1e-3
        )
        return functional.relu(x)

    def pool(x, kind):
        if kind == "average":
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if kind == "maximum":
            return functional.max_pool2d(x, 3, 1, 1)
        return functional.max_pool2d(x, 3, 2)

    def run(x, block, line):
        for layer in line:
            if isinstance(layer, str):
                x = pool(x, layer)
            elif isinstance(layer[0], tuple):
                x = torch.cat([conv(x, block, one) for one in layer], 1)
            else:
                x = conv(x, block, layer)
        return x

    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).double()
    x = conv(x, "", ("Conv2d_1a_3x3", 32, 3, 3, 2))
    x = conv(x, "", ("Conv2d_2a_3x3", 32, 3, 3, 1), inside=False)
    x = conv(x, "", ("Conv2d_2b_3x3", 64, 3, 3, 1))
    x = conv(pool(x, "halve"), "", ("Conv2d_3b_1x1", 80, 1, 1, 1))
    x = pool(conv(x, "", ("Conv2d_4a_3x3", 192, 3, 3, 1), inside=False), "halve")
    for block, lines in _BLOCKS.items():
        x = torch.cat([run(x, block, line) for line in lines], 1)
    return x.mean((2, 3)).numpy().astype(np.float32)


def main() -> None:
    """Writes the golden features."""
    from tests.test_realism import their_shapes

    found = features(weights(their_shapes()), pictures())
    np.savez_compressed(GOLDEN.parent / "golden_inception.npz", features=found)


if __name__ == "__main__":
    main()
