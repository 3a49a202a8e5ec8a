"""CUT's anti-aliased networks in PyTorch, from their description.

They have the key names of taesungp/contrastive-unpaired-translation: the blurs are
layers with a buffer `filt`, which moves the numbers of the layers behind them.
"""

import torch
import torch.nn.functional as F
from torch import nn

from tests.oracle import networks


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


def blur_down(channels: int, bias: bool) -> tuple[nn.Module, list[nn.Module]]:
    """As `networks.stride_down`, with a blur."""
    conv = nn.Conv2d(channels, 2 * channels, 3, 1, 1, bias=bias)
    return conv, [Downsample(2 * channels)]


def blur_up(channels: int, bias: bool) -> tuple[list[nn.Module], nn.Module]:
    """As `networks.stride_up`, with a blur."""
    conv = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias)
    return [Upsample(channels)], conv


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
        down = blur_down if antialias else networks.stride_down
        up = blur_up if antialias_up else networks.stride_up
        self.model = networks.resnet(
            channels_in, channels_out, width, blocks, norm, dropout, down, up
        )

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
        self.model = networks.patch(channels_in, width, layers, norm, Downsample)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)
