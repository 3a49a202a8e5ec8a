"""EfficientNet-lite0, a ViT as DINOv2's and VGG-16 in PyTorch, from tensors by name.

Written from the papers and the names in the published files, apart from our modules.
"""

import numpy as np

# (kernel, stride, channels out) of each block of EfficientNet-lite0.
_BLOCKS = (
    *((3, 1, 16),),
    *((3, 2, 24), (3, 1, 24)),
    *((5, 2, 40), (5, 1, 40)),
    *((3, 2, 80), (3, 1, 80), (3, 1, 80)),
    *((5, 1, 112), (5, 1, 112), (5, 1, 112)),
    *((5, 2, 192), (5, 1, 192), (5, 1, 192), (5, 1, 192)),
    *((3, 1, 320),),
)


def efficientnet_shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of the published file, without the classifier."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name, width):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = (width,)

    shapes["_conv_stem.weight"] = (32, 3, 3, 3)
    norm("_bn0", 32)
    before = 32
    for index, (kernel, _, out) in enumerate(_BLOCKS):
        wide, block = before * (6 if index else 1), f"_blocks.{index}"
        if index:
            shapes[f"{block}._expand_conv.weight"] = (wide, before, 1, 1)
            norm(f"{block}._bn0", wide)
        shapes[f"{block}._depthwise_conv.weight"] = (wide, 1, kernel, kernel)
        norm(f"{block}._bn1", wide)
        shapes[f"{block}._project_conv.weight"] = (out, wide, 1, 1)
        norm(f"{block}._bn2", out)
        before = out
    shapes["_conv_head.weight"] = (1280, 320, 1, 1)
    norm("_bn1", 1280)
    return shapes


def normalised(images: np.ndarray):
    """Images [B, H, W, 3] in [-1, 1] as ImageNet's networks get them, for PyTorch."""
    import torch

    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    scaled = ((images.astype(np.float64) + 1) / 2 - mean) / std
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))


def efficientnet(tensors: dict[str, np.ndarray], images: np.ndarray, blocks=16):
    """Features [B, h, w, C] after some blocks; after all, those of the last layer."""
    import torch
    from torch.nn import functional

    t = {name: torch.from_numpy(np.array(x)) for name, x in tensors.items()}

    def conv(x, name, norm, stride=1, groups=1, relu=True):
        kernel = t[f"{name}.weight"]
        side, k = x.shape[-1], kernel.shape[-1]
        pad = max((-(-side // stride) - 1) * stride + k - side, 0)  # TensorFlow's SAME.
        x = functional.pad(x, [pad // 2, pad - pad // 2] * 2)
        x = functional.conv2d(x, kernel, None, stride, 0, 1, groups)
        statistics = (t[f"{norm}.running_mean"], t[f"{norm}.running_var"])
        affine = (t[f"{norm}.weight"], t[f"{norm}.bias"])
        x = functional.batch_norm(x, *statistics, *affine, eps=1e-3)
        return functional.relu6(x) if relu else x

    with torch.no_grad():
        x = conv(normalised(images), "_conv_stem", "_bn0", 2)
        for index, (_, stride, out) in enumerate(_BLOCKS[:blocks]):
            block, y = f"_blocks.{index}", x
            if index:
                y = conv(y, f"{block}._expand_conv", f"{block}._bn0")
            depth, groups = f"{block}._depthwise_conv", y.shape[1]
            y = conv(y, depth, f"{block}._bn1", stride, groups)
            y = conv(y, f"{block}._project_conv", f"{block}._bn2", relu=False)
            x = x + y if stride == 1 and x.shape[1] == out else y
        if blocks == len(_BLOCKS):
            x = conv(x, "_conv_head", "_bn1")
    return x.permute(0, 2, 3, 1).numpy()


def vit_shapes(width, depth, patch, grid) -> dict[str, tuple[int, ...]]:
    """The tensors of a ViT whose embeddings are for grid x grid patches."""
    embeddings = "backbone.embeddings"
    shapes: dict[str, tuple[int, ...]] = {
        f"{embeddings}.cls_token": (1, 1, width),
        f"{embeddings}.patch_embeddings.projection.weight": (width, 3, patch, patch),
        f"{embeddings}.patch_embeddings.projection.bias": (width,),
        f"{embeddings}.Concat_6": (1, 1, width),
        f"{embeddings}.Reshape_1": (1, grid * grid, width),
        "backbone.layernorm.weight": (width,),
        "backbone.layernorm.bias": (width,),
    }
    for index in range(depth):
        layer = f"backbone.encoder.layer.{index}"
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"{layer}.{name}"] = (width,)
        for name in ("layer_scale1.lambda1", "layer_scale2.lambda1"):
            shapes[f"{layer}.{name}"] = (width,)
        for name, sizes in {
            "attention.attention.query": (width, width),
            "attention.attention.key": (width, width),
            "attention.attention.value": (width, width),
            "attention.output.dense": (width, width),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }.items():
            shapes[f"{layer}.{name}.weight"] = sizes
            shapes[f"{layer}.{name}.bias"] = sizes[:1]
    return shapes


def vit(tensors: dict[str, np.ndarray], images: np.ndarray, *, depth: int, heads: int):
    """The tokens of the patches [B, n, width] and the last layer's keys."""
    import torch
    from torch.nn import functional

    t = {name: torch.from_numpy(np.array(x)) for name, x in tensors.items()}
    embeddings = "backbone.embeddings"
    projection = f"{embeddings}.patch_embeddings.projection"
    patch = t[f"{projection}.weight"].shape[-1]

    def linear(x, name):
        return functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    def norm(x, name):
        affine = (t[f"{name}.weight"], t[f"{name}.bias"])
        return functional.layer_norm(x, x.shape[-1:], *affine, eps=1e-6)

    with torch.no_grad():
        pixels = normalised(images)
        kernel, bias = t[f"{projection}.weight"], t[f"{projection}.bias"]
        x = functional.conv2d(pixels, kernel, bias, patch)
        batch, width, side, _ = x.shape
        x = x.flatten(2).transpose(1, 2)
        first = t[f"{embeddings}.cls_token"].expand(batch, 1, width)
        grid = t[f"{embeddings}.Reshape_1"]
        old = round(grid.shape[1] ** 0.5)
        grid = grid.reshape(1, old, old, width).permute(0, 3, 1, 2)
        if old != side:
            grid = functional.interpolate(grid, (side, side), mode="bicubic")
        grid = grid.flatten(2).transpose(1, 2)
        x = torch.cat([first, x], 1) + torch.cat([t[f"{embeddings}.Concat_6"], grid], 1)
        for index in range(depth):
            layer = f"backbone.encoder.layer.{index}"
            y = norm(x, f"{layer}.norm1")
            query, key, value = (
                linear(y, f"{layer}.attention.attention.{name}")
                for name in ("query", "key", "value")
            )
            split = (batch, -1, heads, width // heads)
            q, k, v = (z.reshape(split).transpose(1, 2) for z in (query, key, value))
            weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, -1)
            y = (weights @ v).transpose(1, 2).reshape(batch, -1, width)
            y = linear(y, f"{layer}.attention.output.dense")
            x = x + t[f"{layer}.layer_scale1.lambda1"] * y
            y = functional.gelu(linear(norm(x, f"{layer}.norm2"), f"{layer}.mlp.fc1"))
            y = linear(y, f"{layer}.mlp.fc2")
            x = x + t[f"{layer}.layer_scale2.lambda1"] * y
        return norm(x, "backbone.layernorm")[:, 1:].numpy(), key.numpy()


def vgg16(tensors: dict[str, np.ndarray], images: np.ndarray):
    """relu4_2 [B, h, w, C], by torchvision's names."""
    import torch
    from torch.nn import functional

    x = normalised(images)
    with torch.no_grad():
        for number in (0, 2, 5, 7, 10, 12, 14, 17, 19):
            if number in (5, 10, 17):
                x = functional.max_pool2d(x, 2)
            weight, bias = (
                torch.from_numpy(np.array(tensors[f"features.{number}.{leaf}"]))
                for leaf in ("weight", "bias")
            )
            x = torch.relu(functional.conv2d(x, weight, bias, padding=1))
    return x.permute(0, 2, 3, 1).numpy()


def structure_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[B] mean squared differences of cosines, pair by pair of tokens in NumPy."""

    def cosines(keys):
        keys = keys.astype(np.float64)
        norms = np.linalg.norm(keys, axis=-1)
        return (keys @ keys.transpose(0, 2, 1)) / (norms[:, :, None] * norms[:, None])

    return np.mean((cosines(a) - cosines(b)) ** 2, axis=(1, 2))
