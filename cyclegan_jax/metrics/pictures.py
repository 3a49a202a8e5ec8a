"""Similarity of images, and diversity of a set of images.

All take uint8 [B, H, W, C] and return one number per image, unless stated otherwise.
"""

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

# Height, width and channels: enough for the layout and the colours of an image.
THUMBNAIL = (8, 8, 3)


@jax.jit
def _compare(a, b):
    a, b = (x.astype(jnp.float32) / 255.0 for x in (a, b))
    l1 = jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))
    # PSNR is infinite for equal images; an error of half a level caps it.
    mse = jnp.maximum(jnp.mean(jnp.square(a - b), axis=(1, 2, 3)), (0.5 / 255.0) ** 2)
    return {"l1": l1, "psnr": -10.0 * jnp.log10(mse)}


@jax.jit
def _ssim(a, b):
    import dm_pix  # Late: it imports several libraries, for one function.

    return dm_pix.ssim(a.astype(jnp.float32) / 255.0, b.astype(jnp.float32) / 255.0)


def compare(a: np.ndarray, b: np.ndarray, *, ssim: bool = False) -> dict:
    """Compares images one by one.

    Args:
      a: images.
      b: images, same shape as `a`.
      ssim: also the structural similarity (Wang et al. 2004; Gaussian window of 11
        pixels), for which images need 11 pixels per side.

    Returns:
      {"l1": [B] mean absolute difference, white being 1; "psnr": [B] decibels, at most
      54.2, that of half a grey level; "ssim": [B]}.
    """
    result = _compare(a, b)
    if ssim and min(a.shape[1:3]) >= 11:
        result["ssim"] = _ssim(a, b)
    return {name: np.asarray(value, np.float64) for name, value in result.items()}


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Shrinks images to float64 [B, 8, 8, 3] in [0, 1]."""
    small = []
    for picture in pictures:
        image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
        image = image.convert("RGB").resize(THUMBNAIL[:2], Image.Resampling.BOX)
        small.append(np.asarray(image, np.float64) / 255.0)
    return np.stack(small)


def diversity(small: np.ndarray) -> float:
    """Mean standard deviation over a set of `thumbnails`."""
    return float(np.mean(np.std(small, axis=0)))


def luminance_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of luminance between two sets of `thumbnails`, pair by pair.

    1: luminance is preserved; -1: inverted; 0 where a set has no contrast.
    """
    a, b = (x.mean(axis=-1).reshape(len(x), -1) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    norm = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / norm) if norm > 0 else 0.0
