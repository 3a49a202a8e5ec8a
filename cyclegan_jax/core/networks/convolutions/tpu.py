"""The convolutions of `convolutions` in the forms for TPUs.

They are XLA's own but for the first and last layers of a ResNet generator, 7x7s from or
to an image: XLA needs ten times as long to compile those as any other layer, and twice
as many cycles as for `rows` (by its own estimates; docs/scaling.md).
"""

import functools

import jax

from cyclegan_jax.core.networks.convolutions import rows, xla
from cyclegan_jax.core.networks.convolutions.window import Window


def conv(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    if form := _by_rows(window):
        return form(x, kernel)
    return xla.conv(window, x, kernel)


def input_gradient(window: Window, dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.input_gradient`."""
    if form := _by_rows(window):
        channels, _ = window.channels
        shape = dy.shape[0], *window.input_size(dy.shape[1:3]), channels
        x = jax.ShapeDtypeStruct(shape, dy.dtype)
        return jax.linear_transpose(lambda x: form(x, kernel), x)(dy)[0]
    return xla.input_gradient(window, dy, kernel)


def kernel_gradient(window: Window, x: jax.Array, dy: jax.Array) -> jax.Array:
    """See `convolutions.kernel_gradient`."""
    if form := _by_rows(window):
        kernel = jax.ShapeDtypeStruct(window.kernel, x.dtype)
        return jax.linear_transpose(functools.partial(form, x), kernel)(dy)[0]
    return xla.kernel_gradient(window, x, dy)


def _by_rows(window):
    """The form of `rows` for a large kernel and few channels; None for others."""
    if (
        window.stride > 1
        or window.size[0] < rows.LARGE
        or min(window.channels) > rows.FEW
    ):
        return None
    channels, out = window.channels
    form = rows.from_few if channels <= out else rows.to_few
    return functools.partial(form, window.padding)
