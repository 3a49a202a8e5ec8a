"""The kernel gradients of the up-sampling layers, in our form and as JAX derives them.

    python -m benchmarks.upsampling

JAX's derivative of a transposed convolution is a convolution with a window as large as
the image, for which GPUs have no fast kernel; ours is that of the strided convolution.
"""

import statistics
import time

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import records
from cyclegan_jax.core.networks import convolutions

ROUNDS = 10


def derived(x, kernel):
    """`convolutions.conv_transpose` for 3x3 kernels, left to JAX to differentiate."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((1, 2), (1, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def seconds(forward, x, kernel):
    """Returns the median time of the kernel's gradient, and the gradient."""

    @jax.jit
    def gradient(x, kernel, dy):
        return jax.vjp(lambda kernel: forward(x, kernel), kernel)[1](dy)[0]

    dy = forward(x, kernel)
    result = jax.block_until_ready(gradient(x, kernel, dy))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(gradient(x, kernel, dy))
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument(
        "--size", type=int, default=64, help="pixels of the first input"
    )
    args = parser.parse_args()
    rows = []
    for size, channels in ((args.size, 256), (2 * args.size, 128)):
        keys = jax.random.split(jax.random.key(0), 2)
        x = jax.random.normal(keys[0], (1, size, size, channels))
        kernel = 0.02 * jax.random.normal(keys[1], (3, 3, channels, channels // 2))
        ours, first = seconds(convolutions.conv_transpose, x, kernel)
        theirs, second = seconds(derived, x, kernel)
        error = float(jnp.abs(first - second).max() / jnp.abs(second).max())
        shape = f"{size}x{size}x{channels}"
        rows.append([shape, f"{ours * 1e3:.2f}", f"{theirs * 1e3:.2f}", f"{error:.0e}"])
    header = ["input", "ours, ms", "JAX's derivative, ms", "difference"]
    records.print_table(header, rows)


if __name__ == "__main__":
    main()
