"""Losses inside masks."""

import jax
import jax.numpy as jnp


def l1(prediction: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean absolute difference inside a mask: of each image, then over images.

    So an image counts the same whatever the batch it is in and the size of its mask.

    Args:
      prediction: [B, H, W, C].
      target: the same shape.
      mask: bool [B, H, W, 1]; an image without any pixel in it has the distance 0.

    Returns:
      [] over the whole batch.

    Raises:
      ValueError: the shapes differ.
    """
    if prediction.shape != target.shape or mask.shape != (*target.shape[:3], 1):
        raise ValueError(
            f"shapes differ: {prediction.shape}, {target.shape}, mask {mask.shape}"
        )
    inside = jnp.where(mask, jnp.abs(prediction - target), 0.0)
    values = jnp.sum(mask, axis=(1, 2, 3)) * target.shape[-1]
    return jnp.mean(jnp.sum(inside, axis=(1, 2, 3)) / jnp.maximum(values, 1))
