"""One iteration of CUT in PyTorch, from its description; see `methods.py`."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.oracle.methods import Trainer
from tests.oracle.training import gan_loss_g


class PatchMLP(nn.Module):
    """A network of two layers for the features of each layer; unit vectors."""

    def __init__(self, channels: list[int], width: int = 256):
        super().__init__()
        for i, c in enumerate(channels):
            mlp = [nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)]
            self.add_module(f"mlp_{i}", nn.Sequential(*mlp))

    def forward(self, i: int, x: torch.Tensor) -> torch.Tensor:
        y = getattr(self, f"mlp_{i}")(x)
        return y / (y.norm(dim=-1, keepdim=True) + 1e-7)


class CUT(Trainer):
    """Discriminator first; then the contrast of patches, and the new discriminator."""

    def iterate(self, a, b, places_a, places_b, flipped):
        """Places are [B, P] for each layer; flipped is a bool for each image."""
        s = self.settings
        flip = _flipper(flipped if s["flip_equivariance"] else None)
        fake, same = self.g_ab(flip(a)), self.g_ab(flip(b))
        loss = {"d_b": self.discriminator_loss(self.d_b, b, fake.detach())}
        log = self.update(loss, "d_b")
        losses = {"g_ab": gan_loss_g(s["gan_mode"], self.d_b(fake))}
        losses["nce"] = s["nce"] * self.contrast(a, fake, places_a, flip)
        if s["nce_identity"]:
            contrast = self.contrast(b, same, places_b, flip)
            losses["nce_identity"] = s["nce_identity"] * contrast
        return log | self.update(losses, "g_ab", "f_ab")

    def contrast(self, given, translated, places, flip):
        """The mean over layers, images and patches."""
        layers, t = self.settings["layers"], self.settings["temperature"]
        queries = [flip(x) for x in self.g_ab.features(translated, layers)]
        keys = self.g_ab.features(given, layers)
        total = 0.0
        for i, (q, k) in enumerate(zip(queries, keys, strict=True)):
            for image in range(len(q)):
                where = places[i][image].long()
                query = self.f_ab(i, q[image].flatten(1).T[where])
                key = self.f_ab(i, k[image].flatten(1).T[where]).detach()
                cosines = query @ key.T
                positive = cosines.diagonal()[:, None]
                negative = cosines.masked_fill(torch.eye(len(where)).bool(), -10.0)
                logits = torch.cat([positive, negative], 1) / t
                right = torch.zeros(len(where), dtype=torch.long)
                total = total + F.cross_entropy(logits, right) / len(q)
        return total / len(layers)


def _flipper(flipped):
    if flipped is None:
        return lambda x: x
    return lambda x: torch.where(flipped[:, None, None, None], x.flip(3), x)
