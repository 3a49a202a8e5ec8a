"""Convolutions in bfloat16 on a CPU, as products of matrices.

Processors with a matrix unit (Intel's AMX) multiply bfloat16 matrices several times as
fast as float32 ones. XLA:CPU uses that unit, through YNNPACK (`runtime.compute_in`), in
one operation only: a product of two bfloat16 matrices with a float32 result. So here a
convolution is a sum of such products, one for each tap of its kernel or each row of
taps, rounded to bfloat16 once at the end.

Shapes use B (batch), H, W (space), I and O (channels in and out).
"""

import jax
import jax.numpy as jnp
from jax import lax


def conv(stride: int, padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    return _sum_of_taps(stride, _pad(x, [(padding, padding)] * 2), kernel)


def conv_gradients(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns what the gradient dy of `conv` is for x and for the kernel."""
    dx = _spread(stride, padding, dy, kernel.swapaxes(2, 3), x.shape[1:3])
    return dx, _kernel_gradient(stride, padding, x, dy, kernel.shape[:2])


def conv_transpose(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array
) -> jax.Array:
    """See `convolutions.conv_transpose`."""
    size = stride * x.shape[1], stride * x.shape[2]
    return _spread(stride, padding, x, kernel[::-1, ::-1], size)


def conv_transpose_gradients(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns what the gradient dy of `conv_transpose` is for x and the kernel."""
    # `conv_transpose` is what a convolution's gradient is for its input; x is that of
    # its output, and dy in the place of its input.
    forward = kernel[::-1, ::-1].swapaxes(2, 3)
    dkernel = _kernel_gradient(stride, padding, dy, x, kernel.shape[:2])
    dkernel = dkernel[::-1, ::-1].swapaxes(2, 3)
    return conv(stride, padding, dy, forward), dkernel


def _spread(stride, padding, x, kernel, size):
    """Adds each pixel of x, times the kernel, to kh x kw pixels of the result.

    That is the gradient of `conv` for its input: [B, H', W', O], [kh, kw, O, I] ->
    [B, H, W, I]. `size` is H and W.
    """
    # Pixels of the result whose places differ by multiples of the stride are made by
    # the same taps, so each such set is a convolution without a stride.
    rows, columns = (-(-(side + 2 * padding) // stride) for side in size)
    sets = []
    for row in range(stride):
        for column in range(stride):
            taps = kernel[row::stride, column::stride][::-1, ::-1]
            above, left = (side - 1 for side in taps.shape[:2])
            below, right = rows - x.shape[1], columns - x.shape[2]
            around = [(above, below), (left, right)]
            sets.append(_sum_of_taps(1, _pad(x, around), taps))
    y = jnp.stack(sets).reshape(stride, stride, x.shape[0], rows, columns, -1)
    y = y.transpose(2, 3, 0, 4, 1, 5)  # [B, rows, stride, columns, stride, I]
    y = y.reshape(x.shape[0], stride * rows, stride * columns, -1)
    return y[:, padding : padding + size[0], padding : padding + size[1]]


def _kernel_gradient(stride, padding, x, dy, sides):
    """[B, H, W, I], [B, H', W', O] -> [kh, kw, I, O]; `sides` are kh and kw."""
    # Each set of taps that are strides apart sees pixels of x that are, too: they fill
    # a frame of rows x columns, into which dy is put as well.
    _, height, width, channels = x.shape
    rows, columns = (-(-(side + 2 * padding) // stride) for side in (height, width))
    below, right = stride * rows - padding - height, stride * columns - padding - width
    x = _pad(x, [(padding, below), (padding, right)])
    dy = _pad(dy, [(0, rows - dy.shape[1]), (0, columns - dy.shape[2])])
    kernel = jnp.zeros((*sides, channels, dy.shape[-1]), x.dtype)
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
