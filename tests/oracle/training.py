"""One published CycleGAN iteration in PyTorch, with every random choice passed in.

Names are those of this project: `g_ab` maps A to B, `d_a` discriminates images *of* A
(the published code calls that one D_B).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Decisions = Sequence[tuple[bool, int]]


@dataclass(frozen=True)
class Settings:
    """What varies between runs; the defaults are the published ones.

    `lambda_identity` is a fraction of lambda_a and lambda_b. `gradient_penalty` weighs
    the WGAN penalty, which is added to the halved loss of the discriminator:
    0.5 * (-D(real) + D(fake)) + gradient_penalty * penalty. (The published code has
    a penalty function but never calls it, so this placement is a choice.)
    """

    lambda_a: float = 10.0
    lambda_b: float = 10.0
    lambda_identity: float = 0.5
    gan_mode: str = "lsgan"
    gradient_penalty: float = 0.0
    optimizer: str = "adam"
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    pool_size: int = 50


def gan_loss_d(mode: str, logits: torch.Tensor, real: bool) -> torch.Tensor:
    """The discriminator's (not yet halved) loss on real or on fake images."""
    if mode == "hinge":
        return F.relu(1.0 - logits if real else 1.0 + logits).mean()
    target = torch.full_like(logits, float(real))
    if mode == "lsgan":
        return F.mse_loss(logits, target)
    if mode == "vanilla":
        return F.binary_cross_entropy_with_logits(logits, target)
    if mode == "wgangp":
        return -logits.mean() if real else logits.mean()
    raise ValueError(mode)


def gan_loss_g(mode: str, logits: torch.Tensor) -> torch.Tensor:
    """The generator's loss: its fakes should pass as real."""
    return -logits.mean() if mode == "hinge" else gan_loss_d(mode, logits, True)


def gradient_penalty(
    critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, alpha: torch.Tensor
) -> torch.Tensor:
    """Mean of (|gradient|_2 - 1)^2 at alpha * real + (1 - alpha) * fake; alpha [B].

    As in the published code's (never called) function, the gradient is that of the
    *sum* of an image's patch logits, while the loss is their mean. (Gulrajani et al.
    2017 have one logit for an image.)
    """
    weight = alpha.reshape(-1, 1, 1, 1)
    mixed = (weight * real + (1.0 - weight) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return ((gradient.flatten(1).norm(2, dim=1) - 1.0) ** 2).mean()


class ScriptedPool:
    """The published image pool, told what to do instead of drawing it.

    While the pool fills, decisions are ignored (the published code draws none then).
    """

    def __init__(self, size: int):
        self.size, self.images = size, []

    def query(self, batch: torch.Tensor, decisions: Decisions) -> torch.Tensor:
        """Returns what the discriminator sees; one (swap, index) for each image."""
        out = []
        for image, (swap, index) in zip(batch, decisions, strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                out.append(image)
            elif swap and self.size > 0:
                out.append(self.images[index])
                self.images[index] = image
            else:
                out.append(image)
        return torch.stack(out)


class RandomPool:
    """The published image pool, word for word; works on any kind of item."""

    def __init__(self, size: int, rng: random.Random):
        self.size, self.rng, self.images = size, rng, []

    def query(self, batch: Sequence) -> list:
        if self.size == 0:
            return list(batch)
        out = []
        for image in batch:
            if len(self.images) < self.size:
                self.images.append(image)
                out.append(image)
            elif self.rng.uniform(0, 1) > 0.5:
                index = self.rng.randint(0, self.size - 1)
                out.append(self.images[index])
                self.images[index] = image
            else:
                out.append(image)
        return out


class CycleGANTrainer:
    """Four networks, two optimisers, two pools; `step` is one published iteration."""

    def __init__(self, nets: Mapping[str, nn.Module], settings: Settings):
        self.nets, self.settings = dict(nets), settings
        for name, net in self.nets.items():
            setattr(self, name, net)
        self.optimizer_g = self._optimizer("g_ab", "g_ba")
        self.optimizer_d = self._optimizer("d_a", "d_b")
        self.pool_a = ScriptedPool(settings.pool_size)
        self.pool_b = ScriptedPool(settings.pool_size)
        self.dtype = next(self.g_ab.parameters()).dtype

    def _optimizer(self, *names: str) -> torch.optim.Optimizer:
        params = [p for name in names for p in self.nets[name].parameters()]
        if self.settings.optimizer == "sgd":
            return torch.optim.SGD(params, self.settings.lr)
        return torch.optim.Adam(params, self.settings.lr, self.settings.betas)

    def _tensor(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(images, -1, 1).copy()).to(self.dtype)

    def step(
        self,
        real_a: np.ndarray,
        real_b: np.ndarray,
        decisions_a: Decisions,
        decisions_b: Decisions,
        alpha_a: np.ndarray | None = None,
        alpha_b: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Updates everything once; real_* are [B, H, W, C] float32 in [-1, 1].

        `decisions_a` drive the pool of generated A images (which d_a sees);
        `alpha_*` [B] mix the images of that domain for the gradient penalty. Returns
        the weighted losses, as the published code logs them.
        """
        a, b = self._tensor(real_a), self._tensor(real_b)
        # Forwards keep the published order: batch norm's running statistics see it.
        fake_b = self.g_ab(a)
        cycle_a = self.g_ba(fake_b)
        fake_a = self.g_ba(b)
        cycle_b = self.g_ab(fake_a)

        self._require_grad_d(False)
        self.optimizer_g.zero_grad()
        losses = self._generator_losses(a, b, fake_a, fake_b, cycle_a, cycle_b)
        sum(losses.values()).backward()
        self.optimizer_g.step()

        self._require_grad_d(True)
        self.optimizer_d.zero_grad()
        fake_b = self.pool_b.query(fake_b.detach(), decisions_b)
        losses["d_b"] = self._discriminator_loss(self.d_b, b, fake_b, alpha_b)
        losses["d_b"].backward()
        fake_a = self.pool_a.query(fake_a.detach(), decisions_a)
        losses["d_a"] = self._discriminator_loss(self.d_a, a, fake_a, alpha_a)
        losses["d_a"].backward()
        self.optimizer_d.step()
        return {name: loss.item() for name, loss in losses.items()}

    def _require_grad_d(self, value: bool) -> None:
        self.d_a.requires_grad_(value)
        self.d_b.requires_grad_(value)

    def _generator_losses(self, a, b, fake_a, fake_b, cycle_a, cycle_b):
        s, losses = self.settings, {}
        if s.lambda_identity > 0:
            weight_a = s.lambda_a * s.lambda_identity
            weight_b = s.lambda_b * s.lambda_identity
            losses["identity_b"] = weight_b * F.l1_loss(self.g_ab(b), b)
            losses["identity_a"] = weight_a * F.l1_loss(self.g_ba(a), a)
        losses["g_ab"] = gan_loss_g(s.gan_mode, self.d_b(fake_b))
        losses["g_ba"] = gan_loss_g(s.gan_mode, self.d_a(fake_a))
        losses["cycle_a"] = s.lambda_a * F.l1_loss(cycle_a, a)
        losses["cycle_b"] = s.lambda_b * F.l1_loss(cycle_b, b)
        return losses

    def _discriminator_loss(self, d, real, fake, alpha):
        s = self.settings
        loss = gan_loss_d(s.gan_mode, d(real), True)
        loss = 0.5 * (loss + gan_loss_d(s.gan_mode, d(fake), False))
        if s.gradient_penalty > 0:
            alpha = torch.from_numpy(np.asarray(alpha)).to(self.dtype)
            loss = loss + s.gradient_penalty * gradient_penalty(d, real, fake, alpha)
        return loss
