"""The work in a step, counted from the layers, and the most a device can do."""

from collections.abc import Callable
from typing import Any


def generator(size: int, blocks: int, width: int = 64) -> float:
    """Floating-point operations of one image's convolutions (a product counts two)."""
    area = size * size
    outer = area * 7 * 7 * 3 * width  # The first and the last are the same size.
    down = 2 * (area / 4 * 9 * width * 2 * width)  # Two, and the same again up.
    blocks_ = 2 * blocks * (area / 16 * 9 * (4 * width) ** 2)
    return 2.0 * (2 * outer + 2 * down + blocks_)


def discriminator(size: int, width: int = 64) -> float:
    """The same for the 70x70 discriminator."""
    total, side, channels = 0.0, size, 3
    for features, stride in (
        (width, 2),
        (2 * width, 2),
        (4 * width, 2),
        (8 * width, 1),
        (1, 1),
    ):
        side = side // 2 if stride == 2 else side - 1
        total += side * side * 16 * channels * features
        channels = features
    return 2.0 * total


def training_step(size: int, blocks: int, batch: int, identity: bool) -> float:
    """Of a full step as published.

    Six passes through a generator (four without identity losses), each backward twice
    as much as forward. The two discriminators together score two fakes for the
    generators (their own weights get no gradient), then two real and two pooled images.
    """
    g = (6 if identity else 4) * 3 * generator(size, blocks)
    d = (2 * 2 + 4 * 3) * discriminator(size)
    return batch * (g + d)


def matrix_product(
    dtype: str,
) -> tuple[Callable[[], None], Callable[[], dict[str, Any]]]:
    """The largest rate that XLA reaches: a product of large square matrices.

    The result is float32, the type in which bfloat16 products, too, are accumulated.
    """
    from cyclegan_jax.machine import runtime

    runtime.configure()
    runtime.compute_in(dtype)
    import jax
    import jax.numpy as jnp

    side = 2048 if jax.default_backend() == "cpu" else 8192
    key = jax.random.key(0)
    a, b = jax.random.normal(key, (2, side, side)).astype(dtype)
    repeat = 4
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))

    def run():
        for _ in range(repeat):
            y = product(a, b)
        jax.block_until_ready(y)

    return run, lambda: {"flop": repeat * 2.0 * side**3}
