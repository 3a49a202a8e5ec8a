"""Convolutions whose padding mirrors the image.

TPUs keep images in tiles, and a padded image has all its rows in other tiles than the
image: padding costs more there than the convolution does. So 3x3 convolutions pad with
zeros, inside the convolution, and add what the mirrored pixels would have given: a row
or column of the output on each side. For larger kernels that takes too many additions:
there the image is padded, one by itself in a way that XLA compiles well for TPUs
(docs/scaling.md has its estimates). CPUs and GPUs are faster with a padded image.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.core.networks.convolutions import linear, rows
from cyclegan_jax.core.networks.convolutions.window import Window


def conv(
    window: Window, x: jax.Array, kernel: jax.Array, places: jax.Array | None = None
) -> jax.Array:
    """See `convolutions.conv`; `window.padding` is that of mirrored pixels."""
    if _mirrors(x, 1) and (*window.size, window.stride, window.padding) == (3, 3, 1, 1):
        return _conv_3x3(window, x, kernel, places)
    return _padded(window, x, kernel, places)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0, inline=True)
def _conv_3x3(window, x, kernel, places):
    return lax.platform_dependent(
        *(x, kernel, places),
        tpu=functools.partial(_bordered, window),
        default=functools.partial(_padded, window),
    )


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _gradients(window, x, kernel, dy):
    def of(form):
        form = functools.partial(form, window, places=None)
        return lambda x, kernel, dy: jax.vjp(form, x, kernel)[1](dy)

    return lax.platform_dependent(x, kernel, dy, tpu=of(_bordered), default=of(_padded))


_conv_3x3.defvjp(
    lambda window, x, kernel, places: (
        _conv_3x3(window, x, kernel, places),
        (x, kernel),
    ),
    lambda window, saved, dy: (*_gradients(window, *saved, dy), None),
)


def _mirrors(x, width):
    """Whether so many pixels are there to be mirrored; unknown in an export."""
    return all(isinstance(side, int) and side > width for side in x.shape[1:3])


def _padded(window, x, kernel, places):
    pad = _mirror if _mirrors(x, window.padding) else _pad
    x = pad(window.padding, x)
    return linear.conv(window._replace(padding=0), x, kernel, places)


def _pad(width, x):
    """`jnp.pad` repeats pixels where there are too few to mirror."""
    sides = ((0, 0), (width, width), (width, width), (0, 0))
    return jnp.pad(x, sides, mode="reflect")


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mirror(width, x):
    tpu = _pad  # Several images take fewer cycles so (docs/scaling.md).
    if x.shape[0] == 1:
        tpu = _lines if x.dtype == jnp.bfloat16 else _margins
    tpu, default = (functools.partial(form, width) for form in (tpu, _pad))
    return lax.platform_dependent(x, tpu=tpu, default=default)


def _lines(width, x):
    """Puts rows, then columns, around the image one by one."""
    for axis in (1, 2):
        size = x.shape[axis]
        near, far = range(width, 0, -1), range(size - 2, size - 2 - width, -1)
        before, after = (
            [lax.slice_in_dim(x, i, i + 1, axis=axis) for i in side]
            for side in (near, far)
        )
        x = lax.concatenate([*before, x, *after], axis)
    return x


def _margins(width, x):
    """Writes margins into an image padded with zeros."""
    y = rows.zero_pad(x, width)
    for axis in (1, 2):
        far = width + x.shape[axis]
        part = functools.partial(lax.slice_in_dim, axis=axis)
        write = functools.partial(lax.dynamic_update_slice_in_dim, axis=axis)
        y = write(y, lax.rev(part(y, width + 1, 2 * width + 1), (axis,)), 0)
        y = write(y, lax.rev(part(y, far - 1 - width, far - 1), (axis,)), far)
    return y


def _fold(width, _, dy):
    """The gradient of `_mirror`: margins are added to the pixels that they mirror."""
    for axis in (1, 2):
        size = dy.shape[axis] - 2 * width
        part = functools.partial(lax.slice_in_dim, dy, axis=axis)
        far = size - width - 1  # Pixels before what the last margin mirrors.
        dy = (
            part(width, width + size)
            + rows.pad(lax.rev(part(0, width), (axis,)), axis, 1, far)
            + rows.pad(lax.rev(part(width + size, None), (axis,)), axis, far, 1)
        )
    return (dy,)


_mirror.defvjp(lambda width, x: (_mirror(width, x), None), _fold)


def _bordered(window, x, kernel, places):
    """The same by a convolution padded with zeros, and corrections at the borders."""
    y = linear.conv(window, x, kernel, places)
    row = lax.broadcasted_iota(jnp.int32, (1, y.shape[1], 1, 1), 1)
    column = lax.broadcasted_iota(jnp.int32, (1, 1, y.shape[2], 1), 2)

    def mirror(line):  # Beyond both of its ends.
        return jnp.concatenate([line[:, 1:2], line, line[:, -2:-1]], 1)

    def pad(line):  # The corners belong to the rows.
        return jnp.pad(line, ((0, 0), (1, 1), (0, 0)))

    top = _line(mirror(x[:, 1]), kernel[0])[:, None]
    bottom = _line(mirror(x[:, -2]), kernel[2])[:, None]
    left = _line(pad(x[:, :, 1]), kernel[:, 0])[:, :, None]
    right = _line(pad(x[:, :, -2]), kernel[:, 2])[:, :, None]
    zero = jnp.zeros((), y.dtype)
    y += jnp.where(row == 0, top, zero)
    y += jnp.where(row == y.shape[1] - 1, bottom, zero)
    y += jnp.where(column == 0, left, zero)
    return y + jnp.where(column == y.shape[2] - 1, right, zero)


def _line(line, taps):
    """Convolves a row or column, [B, N + 2, I], with [3, I, O]: [B, N, O]."""
    length = line.shape[1] - 2
    seen = jnp.concatenate([line[:, i : i + length] for i in range(3)], axis=-1)
    return jnp.matmul(seen, taps.reshape(-1, taps.shape[-1]))
