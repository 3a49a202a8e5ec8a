"""The published networks in PyTorch, with the published state_dict key names.

Layers, paddings, biases and the order of modules are those of
junyanz/pytorch-CycleGAN-and-pix2pix, so that a state_dict of these classes has exactly
the keys and shapes of a released `.pth` file. Images are [B, C, H, W] in [-1, 1].

`norm` is one of "instance" (no parameters, the CycleGAN default), "instance_affine",
"batch" and "none". A convolution that a norm follows has a bias if and only if that
norm is an instance norm, whether or not the bias can have an effect.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn


def norm_layer(norm: str) -> Callable[[int], nn.Module]:
    """Returns the constructor (channels -> module) of a kind of normalisation."""
    return {
        "instance": lambda c: nn.InstanceNorm2d(c, affine=False),
        "instance_affine": lambda c: nn.InstanceNorm2d(c, affine=True),
        "batch": nn.BatchNorm2d,
        "none": lambda c: nn.Identity(),
    }[norm]


def uses_bias(norm: str) -> bool:
    """Whether convolutions in front of this norm carry a bias."""
    return norm in ("instance", "instance_affine")


class ResnetBlock(nn.Module):
    """x + f(x), with nothing after the sum."""

    def __init__(self, channels: int, norm: str, dropout: bool):
        super().__init__()
        make_norm, bias = norm_layer(norm), uses_bias(norm)
        layers = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(channels),
            nn.ReLU(),
        ]
        if dropout:  # This moves the second convolution from index 5 to 6.
            layers.append(nn.Dropout(0.5))
        layers += [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            make_norm(channels),
        ]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


def stride_down(channels: int, bias: bool) -> tuple[nn.Module, list[nn.Module]]:
    """The convolution that halves and doubles channels, and what follows its ReLU."""
    return nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=bias), []


def stride_up(channels: int, bias: bool) -> tuple[list[nn.Module], nn.Module]:
    """What precedes the convolution that doubles and halves channels, and that."""
    up = nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, 1, bias=bias)
    return [], up


def resnet(
    channels_in: int,
    channels_out: int,
    width: int,
    blocks: int,
    norm: str,
    dropout: bool,
    down: Callable = stride_down,
    up: Callable = stride_up,
) -> nn.Sequential:
    """Two downsamplings, residual blocks, two upsamplings."""
    make_norm, bias = norm_layer(norm), uses_bias(norm)

    def normalized(conv: nn.Module) -> list[nn.Module]:
        return [conv, make_norm(conv.out_channels), nn.ReLU()]

    layers = [nn.ReflectionPad2d(3)]
    layers += normalized(nn.Conv2d(channels_in, width, 7, bias=bias))
    for c in (width, 2 * width):
        conv, after = down(c, bias)
        layers += [*normalized(conv), *after]
    layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        before, conv = up(c, bias)
        layers += [*before, *normalized(conv)]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]
    return nn.Sequential(*layers)


class ResnetGenerator(nn.Module):
    """The published one."""

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
    ):
        super().__init__()
        self.model = resnet(channels_in, channels_out, width, blocks, norm, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class UnetBlock(nn.Module):
    """One level of the U-Net around the next deeper one (`inside`).

    The in-place LeakyReLU is deliberate: it also activates the tensor that is passed
    along the skip, as published.
    """

    def __init__(
        self,
        outer: int,
        inner: int,
        norm: str,
        inside: nn.Module | None = None,
        channels_in: int | None = None,
        dropout: bool = False,
    ):
        super().__init__()
        make_norm, bias = norm_layer(norm), uses_bias(norm)
        self.outermost = channels_in is not None
        innermost = inside is None
        source = outer if channels_in is None else channels_in
        up_source = inner if innermost else 2 * inner
        down = nn.Conv2d(source, inner, 4, 2, 1, bias=bias)
        up_bias = bias or self.outermost
        up = nn.ConvTranspose2d(up_source, outer, 4, 2, 1, bias=up_bias)
        if self.outermost:
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        else:
            layers = [nn.LeakyReLU(0.2, True), down]
            layers += [] if innermost else [make_norm(inner), inside]
            layers += [nn.ReLU(True), up, make_norm(outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.outermost:
            return self.model(x)
        return torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    """`downs` halvings, with skips; height and width are multiples of 2**downs."""

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        downs: int = 8,
        width: int = 64,
        norm: str = "batch",
        dropout: bool = False,
    ):
        super().__init__()
        block = UnetBlock(8 * width, 8 * width, norm)
        for _ in range(downs - 5):
            block = UnetBlock(8 * width, 8 * width, norm, block, dropout=dropout)
        for c in (4 * width, 2 * width, width):
            block = UnetBlock(c, 2 * c, norm, block)
        self.model = UnetBlock(channels_out, width, norm, block, channels_in)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


def patch(
    channels_in: int,
    width: int,
    layers: int,
    norm: str,
    blur: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """Logits of overlapping patches; a blur halves instead of the stride, if any."""
    make_norm, bias = norm_layer(norm), uses_bias(norm)
    halving = 1 if blur else 2

    def blurred(channels: int) -> list[nn.Module]:
        return [blur(channels)] if blur else []

    modules = [nn.Conv2d(channels_in, width, 4, halving, 1), nn.LeakyReLU(0.2, True)]
    modules += blurred(width)
    source = width
    for n in range(1, layers + 1):
        target, stride = width * min(2**n, 8), 1 if n == layers else halving
        modules += [
            nn.Conv2d(source, target, 4, stride, 1, bias=bias),
            make_norm(target),
            nn.LeakyReLU(0.2, True),
        ]
        modules += blurred(target) if n < layers else []
        source = target
    return nn.Sequential(*modules, nn.Conv2d(source, 1, 4, 1, 1))


class PatchDiscriminator(nn.Module):
    """The published one; layers=3 is the 70x70 PatchGAN."""

    def __init__(
        self,
        channels_in: int = 3,
        width: int = 64,
        layers: int = 3,
        norm: str = "instance",
    ):
        super().__init__()
        self.model = patch(channels_in, width, layers, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class PixelDiscriminator(nn.Module):
    """Logits of single pixels (1x1 convolutions); its keys start with `net.`."""

    def __init__(self, channels_in: int = 3, width: int = 64, norm: str = "instance"):
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels_in, width, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(norm)(2 * width),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def init_weights(net: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Draws the published initialisation in place from torch's global generator."""
    draw = {
        "normal": lambda w: nn.init.normal_(w, 0.0, gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain=gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }[init_type]
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(module.weight.data)
            if module.bias is not None:
                nn.init.zeros_(module.bias.data)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight.data, 1.0, gain)
            nn.init.zeros_(module.bias.data)


def dead_biases(net: nn.Module) -> list[str]:
    """Names of the convolution biases that an instance norm takes out again.

    Their exact gradient is zero. In float32 it is rounding noise, which Adam blows up
    to steps of the full learning rate, so no two programs agree on these values (nor
    need to: the outputs do not depend on them). Leave them out of comparisons.
    """
    return [
        f"{path}.{index}.bias"
        for path, module in net.named_modules()
        if isinstance(module, nn.Sequential)
        for (index, _), (_, after) in pairwise(module.named_children())
        if isinstance(after, nn.InstanceNorm2d)
    ]
