"""Similarity of images, and diversity of a set of images.

All take [B, H, W, C] and return one number per image, unless stated otherwise. Values
are those of `images.Pixels`, uint8 by default; its range is 0 to 1 here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from cyclegan_jax.images import PICTURE, Pixels

# Height, width and channels: enough for the layout and the colours of an image.
THUMBNAIL = (8, 8, 3)


@functools.partial(jax.jit, static_argnames="pixels")
def _compare(a, b, pixels):
    a, b = (pixels.to_unit(x) for x in (a, b))
    l1 = jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))
    # PSNR is infinite for equal images; an error of half a level caps it.
    least = (0.5 * pixels.step / (pixels.high - pixels.low)) ** 2
    mse = jnp.maximum(jnp.mean(jnp.square(a - b), axis=(1, 2, 3)), least)
    return {"l1": l1, "psnr": -10.0 * jnp.log10(mse)}


@functools.partial(jax.jit, static_argnames="pixels")
def _ssim(a, b, pixels):
    import dm_pix  # Late: it imports several libraries, for one function.

    return dm_pix.ssim(pixels.to_unit(a), pixels.to_unit(b))


def compare(
    a: np.ndarray, b: np.ndarray, *, ssim: bool = False, pixels: Pixels = PICTURE
) -> dict:
    """Compares images one by one.

    Args:
      a: images.
      b: images, same shape as `a`.
      ssim: also the structural similarity (Wang et al. 2004; Gaussian window of 11
        pixels), for which images need 11 pixels per side.
      pixels: how the images are stored.

    Returns:
      {"l1": [B] mean absolute difference, white being 1; "psnr": [B] decibels, at most
      54.2, that of half a grey level (with 16 bits 102.4); "ssim": [B]}.
    """
    result = _compare(a, b, pixels=pixels)
    if ssim and min(a.shape[1:3]) >= 11:
        result["ssim"] = _ssim(a, b, pixels=pixels)
    return {name: np.asarray(value, np.float64) for name, value in result.items()}


def l1_inside(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Compares images inside masks.

    Args:
      a: values of images in [0, 1].
      b: the same of others.
      mask: bool [B, H, W, 1].

    Returns:
      Mean absolute differences; none of images without any pixel in their mask.
    """
    inside = np.broadcast_to(mask, a.shape)
    each = zip(np.abs(a - b), inside, strict=True)
    return np.array([x[kept].mean(dtype=np.float64) for x, kept in each if kept.any()])


def thumbnails(pictures: np.ndarray, pixels: Pixels = PICTURE) -> np.ndarray:
    """Shrinks images, as they are shown, to float64 [B, 8, 8, 3] in [0, 1]."""
    small = []
    for picture in pixels.view(pictures):
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
