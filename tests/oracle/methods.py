"""One iteration of each of the other systems in PyTorch, from their descriptions.

Nothing here is shared with `cyclegan_jax`. Images are [B, C, H, W]; every network has a
plain gradient step of its own, so that parameters afterwards show gradients.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from tests.oracle.training import Decisions, ScriptedPool, gan_loss_d, gan_loss_g

Losses = dict[str, torch.Tensor]


class Trainer:
    """Networks by name, an SGD for each, and pools by the name of what they hold."""

    pools: tuple[str, ...] = ()

    def __init__(self, nets: Mapping[str, nn.Module], settings: Mapping):
        self.nets, self.settings = dict(nets), dict(settings)
        for name, net in self.nets.items():
            setattr(self, name, net)
        self._optimizers = {
            name: torch.optim.SGD(net.parameters(), settings["lr"])
            for name, net in self.nets.items()
        }
        self._pools = {name: ScriptedPool(settings["pool_size"]) for name in self.pools}

    def query(self, name: str, images: torch.Tensor) -> torch.Tensor:
        """What the discriminator sees instead of these images."""
        return self._pools[name].query(images.detach(), self.decisions[name])

    def update(self, losses: Losses, *names: str) -> dict[str, float]:
        """A step of the named networks against the sum of losses."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad()
        sum(losses.values()).backward()
        for name in names:
            self._optimizers[name].step()
        return {name: loss.item() for name, loss in losses.items()}

    def discriminator_loss(self, d: nn.Module, real, fake) -> torch.Tensor:
        """Half the loss on what is real plus half the loss on what is not."""
        mode = self.settings["gan_mode"]
        return 0.5 * (
            gan_loss_d(mode, d(real), True) + gan_loss_d(mode, d(fake), False)
        )

    def step(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        decisions: Mapping[str, Decisions],
        extra: Mapping[str, torch.Tensor],
    ) -> dict[str, float]:
        """Updates everything once and returns the weighted losses."""
        self.decisions = decisions
        return self.iterate(a, b, **extra)


class Pix2Pix(Trainer):
    """Discriminator first, on pairs; then L1 and the new discriminator."""

    def iterate(self, a, b):
        s = self.settings
        fake = self.g_ab(a)
        real_pair, fake_pair = torch.cat([a, b], 1), torch.cat([a, fake], 1)
        loss = {"d_b": self.discriminator_loss(self.d_b, real_pair, fake_pair.detach())}
        log = self.update(loss, "d_b")
        losses = {
            "g_ab": gan_loss_g(s["gan_mode"], self.d_b(torch.cat([a, fake], 1))),
            "l1": s["l1"] * F.l1_loss(fake, b),
        }
        return log | self.update(losses, "g_ab")


class SimGAN(Trainer):
    """Discriminator first, on the pool; then distance to the input."""

    pools = ("fake",)

    def content(self, fake, given):
        return F.l1_loss(fake, given)

    def iterate(self, a, b):
        s = self.settings
        fake = self.g_ab(a)
        loss = {"d_b": self.discriminator_loss(self.d_b, b, self.query("fake", fake))}
        log = self.update(loss, "d_b")
        losses = {
            "g_ab": gan_loss_g(s["gan_mode"], self.d_b(fake)),
            "content": s["content"] * self.content(fake, a),
        }
        return log | self.update(losses, "g_ab")


class FeatureGAN(SimGAN):
    """The same with features of VGG-16 instead of pixels."""

    def content(self, fake, given):
        if self.settings["lua_gradient"]:
            fake = _ScaleGradient.apply(fake, 1 / 127.5**2)
        return F.l1_loss(self._features(fake), self._features(given).detach())

    def _features(self, x):
        size = (self.settings["vgg_size"],) * 2
        x = F.interpolate((x + 1) / 2, size, mode="bilinear", align_corners=False)
        mean = x.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = x.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return self.vgg((x - mean) / std)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.factor * gradient, None


class BiGAN(Trainer):
    """One discriminator on pairs; generator and encoder each on their own pairs."""

    pools = ("pair_ab", "pair_ba")

    def iterate(self, a, b):
        mode = self.settings["gan_mode"]
        pair_ab = torch.cat([a, self.g_ab(a)], 1)
        pair_ba = torch.cat([self.g_ba(b), b], 1)
        real, fake = self.query("pair_ab", pair_ab), self.query("pair_ba", pair_ba)
        log = self.update(
            {"d_ab": self.discriminator_loss(self.d_ab, real, fake)}, "d_ab"
        )
        wants_zero = {"g_ab": gan_loss_d(mode, self.d_ab(pair_ab), False)}
        log |= self.update(wants_zero, "g_ab")
        wants_one = {"g_ba": gan_loss_d(mode, self.d_ab(pair_ba), True)}
        return log | self.update(wants_one, "g_ba")


class CoGAN(Trainer):
    """Images of both domains from one latent vector; two-way softmax."""

    def iterate(self, a, b, latent):
        def cross_entropy(logits, label):
            labels = torch.full((len(logits),), label)
            return F.cross_entropy(logits, labels)

        fake = self.g(latent)
        loss = cross_entropy(self.d(a, b), 1)
        loss = loss + cross_entropy(self.d(*(x.detach() for x in fake)), 0)
        log = self.update({"d": 0.5 * loss}, "d")
        return log | self.update({"g": cross_entropy(self.d(*fake), 1)}, "g")


def vgg(width: int) -> nn.Module:
    """VGG-16 up to relu4_2, numbered as torchvision's `features`."""
    layers, source = [], 3
    for block, count in enumerate((2, 2, 3, 2)):
        layers += [nn.MaxPool2d(2)] if block else []
        for _ in range(count):
            target = width * 2**block
            layers += [nn.Conv2d(source, target, 3, padding=1), nn.ReLU()]
            source = target
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(*layers))
    return net


class CoupledGenerator(nn.Module):
    """Fully connected, then doublings; the last layer is each domain's own."""

    def __init__(self, latent: int, size: int, width: int):
        super().__init__()
        count = size.bit_length() - 3
        channels = width * 2**count
        self.channels = channels
        self.full = nn.Linear(latent, 16 * channels, bias=False)
        self.full_norm, self.full_prelu = nn.BatchNorm2d(channels), nn.PReLU()
        steps = []
        for _ in range(count):
            up = nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False)
            channels //= 2
            steps += [up, nn.BatchNorm2d(channels), nn.PReLU()]
        self.up = nn.Sequential(*steps)
        self.out_a = nn.Conv2d(channels, 3, 3, padding=1)
        self.out_b = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, latent):
        x = self.full(latent).view(-1, self.channels, 4, 4)
        x = self.up(self.full_prelu(self.full_norm(x)))
        return torch.tanh(self.out_a(x)), torch.tanh(self.out_b(x))


class CoupledDiscriminator(nn.Module):
    """The first layer is each domain's own; two logits, fake and real. No dropout."""

    def __init__(self, size: int, width: int, normed: bool = True):
        super().__init__()
        bias = not normed
        norm2d = nn.BatchNorm2d if normed else nn.Identity
        norm1d = nn.BatchNorm1d if normed else nn.Identity
        self.first_a = nn.Conv2d(3, width, 5, 2, 2, bias=bias)
        self.first_b = nn.Conv2d(3, width, 5, 2, 2, bias=bias)
        steps, source = [norm2d(width), nn.PReLU()], width
        for kernel in (5, 5, 3, 3, 3):
            conv = nn.Conv2d(source, 2 * source, kernel, 2, kernel // 2, bias=bias)
            source *= 2
            steps += [conv, norm2d(source), nn.PReLU()]
        self.rest = nn.Sequential(*steps)
        pixels = max(1, size // 64) ** 2
        self.full = nn.Linear(source * pixels, 64 * width, bias=bias)
        self.full_norm, self.full_prelu = norm1d(64 * width), nn.PReLU()
        self.out = nn.Linear(64 * width, 2)

    def forward(self, a, b):
        x = self.rest(torch.cat([self.first_a(a), self.first_b(b)]))
        x = self.full(x.flatten(1))
        return self.out(self.full_prelu(self.full_norm(x)))


TRAINERS = {
    "pix2pix": Pix2Pix,
    "simgan": SimGAN,
    "feature_gan": FeatureGAN,
    "bigan": BiGAN,
    "cogan": CoGAN,
}
