"""LPIPS on AlexNet in PyTorch, and weights drawn by name.

`python -m tests.oracle.lpips` prints the golden distances (needs PyTorch).
"""

import numpy as np

from tests.oracle import inception

_CONVOLUTIONS = (
    ("features.0", 64, 3, 11),
    ("features.3", 192, 64, 5),
    ("features.6", 384, 192, 3),
    ("features.8", 256, 384, 3),
    ("features.10", 256, 256, 3),
)


def tensors() -> dict[str, np.ndarray]:
    """The tensors of both files, by their public names; linear layers not negative."""
    shapes = {}
    for index, (name, width, channels, kernel) in enumerate(_CONVOLUTIONS):
        shapes[f"{name}.weight"] = (width, channels, kernel, kernel)
        shapes[f"{name}.bias"] = (width,)
        shapes[f"lin{index}.model.1.weight"] = (1, width, 1, 1)
    drawn = inception.weights(shapes)
    return {k: np.abs(v) if k.startswith("lin") else v for k, v in drawn.items()}


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Two pairs, uint8 [2, 48, 70, 3]."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2, 48, 70, 3), dtype=np.uint8)
    return a, b


def distances(weights: dict[str, np.ndarray], a: np.ndarray, b: np.ndarray):
    """Computes [B] distances with PyTorch in float64, after the paper's equation 1."""
    import torch
    from torch import nn

    def double(name):
        return torch.from_numpy(weights[name]).double()

    layers = []
    for index, (name, width, channels, kernel) in enumerate(_CONVOLUTIONS):
        if index in (1, 2):
            layers.append(nn.MaxPool2d(3, 2))
        stride, padding = (4, 2) if index == 0 else (1, kernel // 2)
        layer = nn.Conv2d(channels, width, kernel, stride, padding).double()
        layer.weight.data, layer.bias.data = (
            double(f"{name}.weight"),
            double(f"{name}.bias"),
        )
        layers += [layer, nn.ReLU()]

    def features(pixels):
        x = torch.from_numpy(pixels).double().permute(0, 3, 1, 2) / 127.5 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188]).double().view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).double().view(1, 3, 1, 1)
        x, found = (x - shift) / scale, []
        for layer in layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(nn.functional.normalize(x, dim=1, eps=1e-10))
        return found

    total = 0
    with torch.no_grad():
        for index, (x, y) in enumerate(zip(features(a), features(b), strict=True)):
            weight = double(f"lin{index}.model.1.weight")
            difference = nn.functional.conv2d((x - y) ** 2, weight)
            total = total + difference.mean((1, 2, 3))
    return total.numpy()


if __name__ == "__main__":
    print(distances(tensors(), *pictures()).tolist())
