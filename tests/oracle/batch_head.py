"""UVCGAN v2's discriminator and its losses in PyTorch, image by image.

From the paper and the released code's behaviour at batch size 1: each image of a batch
has queues for itself, of real and of generated images.
"""

from collections import deque

import torch
import torch.nn.functional as F
from torch import nn

from tests.oracle.training import CycleGANTrainer


class BatchHeadDiscriminator(nn.Module):
    """A published discriminator whose last convolution is replaced."""

    def __init__(self, published: nn.Sequential, slots: int, size: int):
        super().__init__()
        *body, last = published
        self.body, channels = nn.Sequential(*body), last.in_channels
        self.head = nn.Sequential(
            nn.Conv2d(channels + 1, channels, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )
        self.queues = {
            kind: [deque(maxlen=size) for _ in range(slots)]
            for kind in ("real", "fake")
        }

    def score(self, images: torch.Tensor, past: list[list[torch.Tensor]]):
        """Scores images; `past` has the features that each is compared with."""
        features, scores = self.body(images), []
        for own, others in zip(features.split(1), past, strict=True):
            group = torch.cat([own, *others])
            mean = group.mean(dim=0)
            spread = torch.sqrt((group - mean).square().mean(dim=0) + 1e-6).mean()
            channel = spread.expand(1, 1, *own.shape[2:])
            scores.append(self.head(torch.cat([own, channel], dim=1)))
        return torch.cat(scores), features.detach()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As the generators' losses see it: generated images among generated ones."""
        return self.score(images, self.queues["fake"])[0]


class BatchHeadTrainer(CycleGANTrainer):
    """Least squares with a penalty: the squared gradient of the mean score."""

    def _discriminator_loss(self, d, real, fake, alpha):
        alpha = torch.from_numpy(alpha).to(self.dtype)
        mixed = [
            [a * r + (1 - a) * f for r, f in zip(reals, fakes, strict=True)]
            for a, reals, fakes in zip(alpha, *d.queues.values(), strict=True)
        ]
        weight = alpha.reshape(-1, 1, 1, 1)
        point = (weight * real + (1 - weight) * fake).requires_grad_()
        mean_scores = d.score(point, mixed)[0].mean(dim=(1, 2, 3))
        (slope,) = torch.autograd.grad(mean_scores.sum(), point, create_graph=True)
        penalty = slope.square().sum(dim=(1, 2, 3)).mean()

        losses = []
        for kind, images, label in (("real", real, 1.0), ("fake", fake, 0.0)):
            scores, features = d.score(images, d.queues[kind])
            losses.append(F.mse_loss(scores, torch.full_like(scores, label)))
            for queue, newest in zip(d.queues[kind], features.split(1), strict=True):
                queue.append(newest)
        return 0.5 * sum(losses) + self.settings.gradient_penalty * penalty
