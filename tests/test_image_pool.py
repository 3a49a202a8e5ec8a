"""The pools do what the published algorithm does, slot by slot."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.core import image_pool


def reference_query(stored, capacity, image, swap, index):
    """The reference's algorithm for one image, its random decisions given."""
    if len(stored) < capacity:
        stored.append(image)
        return image
    if swap:
        old, stored[index] = stored[index], image
        return old
    return image


def run(capacity, steps, slots=1, seed=0):
    """Feeds numbered 1x1 images; returns [steps, slots] taken numbers and the keys."""
    pool = image_pool.create(slots, capacity, (1, 1, 1))
    keys = jax.vmap(
        lambda step: jax.vmap(
            lambda slot: jax.random.fold_in(
                jax.random.fold_in(jax.random.key(seed), step), slot
            )
        )(jnp.arange(slots))
    )(jnp.arange(steps))
    numbers = jnp.arange(steps * slots, dtype=jnp.float32).reshape(steps, slots)

    def body(pool, inputs):
        images, keys = inputs
        return image_pool.exchange(pool, images, keys)

    images = numbers.reshape(steps, slots, 1, 1, 1)
    _, taken = jax.lax.scan(body, pool, (images, keys))
    return np.asarray(taken).reshape(steps, slots), keys


def test_equals_the_reference_algorithm():
    capacity, steps, slots = 5, 200, 3
    taken, keys = run(capacity, steps, slots)
    swap, index = jax.vmap(functools.partial(image_pool.draw, capacity=capacity))(keys)
    for slot in range(slots):
        stored = []
        for step in range(steps):
            expected = reference_query(
                stored,
                capacity,
                step * slots + slot,
                swap[step, slot],
                int(index[step, slot]),
            )
            assert taken[step, slot] == expected


def test_statistics_of_the_reference():
    """The share and the ages of old images, against the reference with its own dice."""
    capacity, steps = 50, 20_000
    taken, _ = run(capacity, steps)
    ages = np.arange(steps) - taken[:, 0]
    dice, stored, expected = random.Random(0), [], []
    for step in range(steps):
        swap, index = dice.random() > 0.5, dice.randrange(capacity)
        image = reference_query(stored, capacity, step, swap, index)
        expected.append(step - image)
    ages, expected = ages[1000:], np.array(expected[1000:])
    # Five standard errors of a share of 1/2, and of a mean age of about 100.
    assert abs(np.mean(ages == 0) - 0.5) < 5 * 0.5 / np.sqrt(len(ages))
    spread = 5 * np.std(expected) * np.sqrt(2 / len(expected))
    assert abs(np.mean(ages) - np.mean(expected)) < spread
    # An image stays in the pool for a geometric time with mean 2 capacity.
    assert abs(np.mean(ages[ages > 0]) / (2 * capacity) - 1) < 0.05


def test_a_slot_does_not_see_the_others():
    taken, _ = run(4, 100, slots=3)
    for slot in range(3):
        assert set(taken[:, slot] % 3) == {slot}


def test_capacity_zero_returns_the_image():
    pool = image_pool.create(2, 0, (1, 1, 1))
    images = jnp.ones((2, 1, 1, 1))
    keys = jax.random.split(jax.random.key(0), 2)
    new_pool, taken = image_pool.exchange(pool, images, keys)
    assert taken is images
    assert new_pool is pool
