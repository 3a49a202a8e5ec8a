"""The history of generated images that discriminators learn from.

Shrivastava et al. 2017 and Zhu et al. 2017, section 4: a discriminator sees either the
newest generated image or one of the last 50. Here every slot of the global batch has a
separate pool with `capacity` images: at batch size 1 this is the published algorithm,
and results do not depend on how slots are spread over devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class ImagePool(NamedTuple):
    """Pools of B slots.

    Attributes:
      images: [B, capacity, H, W, C]; the first `count` of a slot are valid.
      count: [B] int32, images stored so far, at most `capacity`.
    """

    images: jax.Array
    count: jax.Array  # type: ignore[assignment]  # Also a method of tuples.


def create(slots: int, capacity: int, image_shape: tuple[int, int, int]) -> ImagePool:
    """Returns empty pools; `capacity` 0 makes `exchange` return its argument."""
    images = jnp.zeros((slots, capacity, *image_shape), jnp.float32)
    return ImagePool(images, jnp.zeros((slots,), jnp.int32))


def draw(keys: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Samples each slot's decision for a full pool: swap with probability 1/2.

    Args:
      keys: [B] PRNG keys, one per slot.
      capacity: images in a pool, at least 1.

    Returns:
      [B] bool, whether to swap, and [B] int32, which stored image to swap with.
    """

    def draw_one(key):
        swap_key, index_key = jax.random.split(key)
        swap = jax.random.uniform(swap_key) > 0.5
        return swap, jax.random.randint(index_key, (), 0, capacity)

    return jax.vmap(draw_one)(keys)


def exchange(
    pool: ImagePool, images: jax.Array, keys: jax.Array
) -> tuple[ImagePool, jax.Array]:
    """Adds a new image to each slot's pool and returns one for the discriminator.

    A pool that is not full stores the image and returns it. A full one returns the
    image, or, with probability 1/2, a stored one, which the new image replaces.

    Args:
      pool: of B slots.
      images: [B, H, W, C] newly generated images.
      keys: [B] PRNG keys, one per slot.

    Returns:
      The new pool and [B, H, W, C] images to train on.
    """
    capacity = pool.images.shape[1]
    if capacity == 0:
        return pool, images
    swap, index = draw(keys, capacity)

    def exchange_one(stored, count, image, swap, index):
        filling = count < capacity
        place = jnp.where(filling, count, index)
        replace = filling | swap
        old = stored[place]
        stored = stored.at[place].set(jnp.where(replace, image, old))
        taken = jnp.where(filling | ~swap, image, old)
        return stored, jnp.minimum(count + 1, capacity), taken

    stored, count, taken = jax.vmap(exchange_one)(
        pool.images, pool.count, images.astype(jnp.float32), swap, index
    )
    return ImagePool(stored, count), taken.astype(images.dtype)
