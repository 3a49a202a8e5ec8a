"""DiffAugment (Zhao et al. 2020) in PyTorch, with every random number passed in.

Written from the published ranges and border rules; images are [B, C, H, W]. `numbers`
has brightness, saturation and contrast [B], shift and centre [B, 2], as NumPy arrays:
row i of a moved image is row i + shift of the original, and a hole's first row is
centre - (its height) // 2.
"""

import torch
import torch.nn.functional as F


def augment(images: torch.Tensor, policy: str, numbers: dict) -> torch.Tensor:
    """Applies the policies in their order, image by image."""
    for name in policy.split(","):
        images = torch.stack(
            [
                _POLICIES[name](image, {k: v[i] for k, v in numbers.items()})
                for i, image in enumerate(images)
            ]
        )
    return images


def _color(image, numbers):
    image = image + float(numbers["brightness"])
    image = torch.lerp(
        image.mean(0, keepdim=True).expand_as(image),
        image,
        float(numbers["saturation"]),
    )
    return torch.lerp(image.mean().expand_as(image), image, float(numbers["contrast"]))


def _translation(image, numbers):
    (down, right), (_, height, width) = map(int, numbers["shift"]), image.shape
    # Negative padding crops.
    return F.pad(image, (-right, right, -down, down))[:, :height, :width]


def _cutout(image, numbers):
    (row, column), image = map(int, numbers["centre"]), image.clone()
    _, height, width = image.shape
    tall, wide = round(height / 2 + 1e-9), round(width / 2 + 1e-9)
    top, left = row - tall // 2, column - wide // 2
    image[:, max(0, top) : max(0, top + tall), max(0, left) : max(0, left + wide)] = 0
    return image


_POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
