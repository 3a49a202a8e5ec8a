"""The published training step in PyTorch, as the authors' code runs it.

The networks are those of `tests/oracle`, whose outputs, losses and updates the parity
tests compare with ours. The order of the work is the published one: fakes and
reconstructions, the generators' update with frozen discriminators, image pools, the
discriminators' update; one Adam for the generators and one for the discriminators.
Losses stay on the device; the published code fetches them every 100 steps only.
"""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.ours import random_images
from tests.oracle import networks


class ImagePool:
    """A history of generated images, one of which may be returned for a new one."""

    def __init__(self, size: int = 50):
        self.size, self.images = size, []

    def query(self, batch: torch.Tensor) -> torch.Tensor:
        chosen = []
        for image in batch.detach().split(1):
            if len(self.images) < self.size:
                self.images.append(image)
            elif random.random() > 0.5:
                index = random.randrange(self.size)
                old = self.images[index].clone()
                self.images[index] = image
                image = old
            chosen.append(image)
        return torch.cat(chosen, 0)


class PublishedStep:
    """All networks, and `step(real_a, real_b)`, one published iteration."""

    def __init__(self, blocks: int, identity: bool, device: torch.device):
        make = {
            "g": lambda: networks.ResnetGenerator(blocks=blocks),
            "d": lambda: networks.PatchDiscriminator(),
        }
        nets = {n: make[n[0]]() for n in ("g_ab", "g_ba", "d_a", "d_b")}
        for net in nets.values():
            networks.init_weights(net)
            net.to(device)
        self.nets, self.identity = nets, identity
        self.pools = {"a": ImagePool(), "b": ImagePool()}
        self.optimizers = [
            torch.optim.Adam(
                [p for n in names for p in nets[n].parameters()], 2e-4, (0.5, 0.999)
            )
            for names in (("g_ab", "g_ba"), ("d_a", "d_b"))
        ]
        self.l1, self.mse = nn.L1Loss(), nn.MSELoss()
        self.one = torch.ones((), device=device)
        self.zero = torch.zeros((), device=device)
        self.autocast: Callable[[], Any] = contextlib.nullcontext

    def gan_loss(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.mse(scores, target.expand_as(scores))

    def step(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        n, discriminators = self.nets, (self.nets["d_a"], self.nets["d_b"])
        with self.autocast():
            fake_b = n["g_ab"](a)
            cycle_a = n["g_ba"](fake_b)
            fake_a = n["g_ba"](b)
            cycle_b = n["g_ab"](fake_a)
            for net in discriminators:
                net.requires_grad_(False)
            self.optimizers[0].zero_grad()
            losses = {}
            if self.identity:
                losses["identity_b"] = 5.0 * self.l1(n["g_ab"](b), b)
                losses["identity_a"] = 5.0 * self.l1(n["g_ba"](a), a)
            losses["g_ab"] = self.gan_loss(n["d_b"](fake_b), self.one)
            losses["g_ba"] = self.gan_loss(n["d_a"](fake_a), self.one)
            losses["cycle_a"] = 10.0 * self.l1(cycle_a, a)
            losses["cycle_b"] = 10.0 * self.l1(cycle_b, b)
            total = sum(losses.values())
        total.backward()
        self.optimizers[0].step()

        for net in discriminators:
            net.requires_grad_(True)
        self.optimizers[1].zero_grad()
        for domain, real, fake in (("b", b, fake_b), ("a", a, fake_a)):
            net, pooled = n[f"d_{domain}"], self.pools[domain].query(fake)
            with self.autocast():
                real_loss = self.gan_loss(net(real), self.one)
                loss = 0.5 * (real_loss + self.gan_loss(net(pooled), self.zero))
            loss.backward()
            losses[f"d_{domain}"] = loss
        self.optimizers[1].step()
        return {name: loss.detach() for name, loss in losses.items()}


def training_step(
    size: int,
    blocks: int,
    batch: int = 1,
    identity: bool = True,
    dtype: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    threads: int = 0,
) -> tuple[Callable[[], None], Callable[[], dict[str, Any]]]:
    """The published step on the fastest device there is, from uint8 images on.

    Args:
      size: height and width of the images.
      blocks: of the generators.
      batch: images of each domain.
      identity: with or without the identity losses.
      dtype: `bfloat16` runs the networks under autocast.
      channels_last: memory format of networks and images.
      compiled: `torch.compile` the four networks.
      threads: of PyTorch; 0 for its own choice.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    program = PublishedStep(blocks, identity, device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for name, net in program.nets.items():
        net.to(memory_format=layout)
        if compiled:
            program.nets[name] = torch.compile(net)
    if dtype == "bfloat16":
        program.autocast = lambda: torch.autocast(device.type, torch.bfloat16)
    images = [torch.from_numpy(random_images(size, batch, seed)) for seed in (0, 1)]

    def to_device(x):
        x = x.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return x.contiguous(memory_format=layout)

    def run():
        program.step(*(to_device(x) for x in images))
        if device.type == "cuda":
            torch.cuda.synchronize()

    def facts():
        cuda = device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "device_peak_mib": torch.cuda.max_memory_allocated() / 2**20
            if cuda
            else None,
        }

    return run, facts
