"""CUT's anti-aliased networks in PyTorch, from their description.

They have the key names of taesungp/contrastive-unpaired-translation: the blurs are
layers with a buffer `filt`, which moves the numbers of the layers behind them.
"""

import torch
import torch.nn.functional as F
from torch import nn

from tests.oracle.networks import ResnetBlock, norm_layer, uses_bias


def binomial(channels: int, *taps: float) -> torch.Tensor:
    """[channels, 1, n, n]: the outer product of the taps, with the sum 1."""
    line = torch.tensor(taps)
    kernel = torch.outer(line, line)
    return (kernel / kernel.sum()).repeat(channels, 1, 1, 1)


class Downsample(nn.Module):
    """Blurs each channel and keeps every second pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", binomial(channels, 1.0, 2.0, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.filt, stride=2, groups=x.shape[1])


class Upsample(nn.Module):
    """Puts zeros between the pixels, and blurs."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", 4 * binomial(channels, 1.0, 3.0, 3.0, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        y = F.conv_transpose2d(padded, self.filt, stride=2, groups=x.shape[1])
        return y[:, :, 3:-3, 3:-3]


class BlurredResnet(nn.Module):
    """The ResNet whose strides are blurs; either half can be as it was without them."""

    def __init__(
        self,
        channels_in: int = 3,
        channels_out: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
        antialias: bool = True,
        antialias_up: bool = True,
    ):
        super().__init__()
        make_norm, bias = norm_layer(norm), uses_bias(norm)

        def normalized(conv: nn.Module) -> list[nn.Module]:
            return [conv, make_norm(conv.out_channels), nn.ReLU()]

        layers = [nn.ReflectionPad2d(3)]
        layers += normalized(nn.Conv2d(channels_in, width, 7, bias=bias))
        for c in (width, 2 * width):
            stride = 1 if antialias else 2
            layers += normalized(nn.Conv2d(c, 2 * c, 3, stride, 1, bias=bias))
            layers += [Downsample(2 * c)] if antialias else []
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            if antialias_up:
                layers.append(Upsample(c))
                conv = nn.Conv2d(c, c // 2, 3, padding=1, bias=bias)
            else:
                conv = nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1, bias=bias)
            layers += normalized(conv)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)

    def features(self, x: torch.Tensor, layers: list[int]) -> list[torch.Tensor]:
        """The outputs of the numbered layers."""
        outputs = []
        for layer in self.model[: layers[-1] + 1]:
            x = layer(x)
            outputs.append(x)
        return [outputs[number] for number in layers]


class BlurredPatch(nn.Module):
    """The PatchGAN whose strides are blurs."""

    def __init__(
        self,
        channels_in: int = 3,
        width: int = 64,
        layers: int = 3,
        norm: str = "instance",
    ):
        super().__init__()
        make_norm, bias = norm_layer(norm), uses_bias(norm)
        modules = [nn.Conv2d(channels_in, width, 4, padding=1), nn.LeakyReLU(0.2)]
        modules.append(Downsample(width))
        source = width
        for n in range(1, layers + 1):
            target = width * min(2**n, 8)
            modules += [
                nn.Conv2d(source, target, 4, padding=1, bias=bias),
                make_norm(target),
                nn.LeakyReLU(0.2),
            ]
            modules += [Downsample(target)] if n < layers else []
            source = target
        self.model = nn.Sequential(*modules, nn.Conv2d(source, 1, 4, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)
