"""Convolutions in bfloat16 on a CPU, as products of matrices.

Processors with a matrix unit (Intel's AMX) multiply bfloat16 matrices several times as
fast as float32 ones. XLA:CPU uses that unit, through YNNPACK, where it is told to, in
one operation only: a product of two bfloat16 matrices with a float32 result. So here a
convolution is a sum of such products, one for each tap of its kernel or each row of
taps, rounded to bfloat16 once at the end.

Shapes use B (batch), H, W (space), I and O (channels in and out).
"""

import os
import re

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.core.networks.convolutions.window import Window


def uses_matrix_unit() -> bool:
    """Whether XLA:CPU hands products of bfloat16 matrices to YNNPACK (XLA_FLAGS)."""
    option = r"--xla_cpu_experimental_ynn_fusion_type=\S*\bindividual_dot\b"
    return bool(re.search(option, os.environ.get("XLA_FLAGS", "")))


def conv(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    return _sum_of_taps(window.stride, _pad(x, [(window.padding,) * 2] * 2), kernel)


def input_gradient(window: Window, dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.input_gradient`."""
    stride, padding = window.stride, window.padding
    kernel, size = kernel.swapaxes(2, 3), window.input_size(dy.shape[1:3])
    # Pixels of the result whose places differ by multiples of the stride are made by
    # the same taps, so each such set is a convolution without a stride.
    rows, columns = (-(-(side + 2 * padding) // stride) for side in size)
    sets = []
    for row in range(stride):
        for column in range(stride):
            taps = kernel[row::stride, column::stride][::-1, ::-1]
            above, left = (side - 1 for side in taps.shape[:2])
            below, right = rows - dy.shape[1], columns - dy.shape[2]
            around = [(above, below), (left, right)]
            sets.append(_sum_of_taps(1, _pad(dy, around), taps))
    y = jnp.stack(sets).reshape(stride, stride, dy.shape[0], rows, columns, -1)
    y = y.transpose(2, 3, 0, 4, 1, 5)  # [B, rows, stride, columns, stride, I]
    y = y.reshape(dy.shape[0], stride * rows, stride * columns, -1)
    return y[:, padding : padding + size[0], padding : padding + size[1]]


def kernel_gradient(window: Window, x: jax.Array, dy: jax.Array) -> jax.Array:
    """See `convolutions.kernel_gradient`."""
    stride, padding = window.stride, window.padding
    # Each set of taps that are strides apart sees pixels of x that are, too: they fill
    # a frame of rows x columns, into which dy is put as well.
    height, width = x.shape[1:3]
    rows, columns = (-(-(side + 2 * padding) // stride) for side in (height, width))
    below, right = stride * rows - padding - height, stride * columns - padding - width
    x = _pad(x, [(padding, below), (padding, right)])
    dy = _pad(dy, [(0, rows - dy.shape[1]), (0, columns - dy.shape[2])])
    kernel = jnp.zeros(window.kernel, x.dtype)
    for row in range(stride):
        for column in range(stride):
            taps = kernel[row::stride, column::stride].shape[:2]
            seen = x[:, row::stride, column::stride]
            gradient = _gradient_of_taps(seen, dy, taps)
            kernel = kernel.at[row::stride, column::stride].set(gradient)
    return kernel


def _pad(x, widths):
    """Puts zeros around each image; negative widths take pixels away."""
    widths = [(0, 0), *widths, (0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(*width, 0) for width in widths])


def _product(a, b):
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _sum_of_taps(stride, x, kernel):
    """Convolves without padding."""
    kh, kw, channels, out = kernel.shape
    rows, columns = (x.shape[1] - kh) // stride, (x.shape[2] - kw) // stride
    y = 0.0
    for i in range(kh):
        for j in range(kw):
            seen = x[
                :,
                i : i + rows * stride + 1 : stride,
                j : j + columns * stride + 1 : stride,
            ]
            y += _product(seen.reshape(-1, channels), kernel[i, j])
    return y.astype(x.dtype).reshape(x.shape[0], rows + 1, columns + 1, out)


def _gradient_of_taps(x, dy, sides):
    """The kernel's gradient without a stride, for x and dy in the same frame.

    With the rows of all images end to end, each tap saw the same pixels from another
    start on; zeros in dy's frame keep away what belongs to another row. A product for
    each row of taps is then as wide as the matrix unit likes it.
    """
    kh, kw = sides
    width, channels = x.shape[2], x.shape[-1]
    x, dy = x.reshape(-1, channels), dy.reshape(-1, dy.shape[-1])
    pixels = x.shape[0] - kw + 1
    # Barriers: fused into what reads it, a transposition would be done over and over.
    x = lax.optimization_barrier(x.T)
    x = jnp.concatenate([x[:, j : j + pixels] for j in range(kw)])
    before = (kh - 1) * width
    x, dy = lax.optimization_barrier((x, jnp.pad(dy, ((before, 0), (0, 0)))))
    rows = (dy[before - i * width :][:pixels] for i in range(kh))
    products = jnp.stack([_product(x, row) for row in rows])
    return products.astype(x.dtype).reshape(kh, kw, channels, -1)
