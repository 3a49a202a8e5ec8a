"""XLA's own convolutions.

None has a window larger than its kernel, but for the kernel's gradient, whose window is
the (dilated) gradient of the output: compilers know that as the gradient of a filter.
"""

import jax
from jax import lax

from cyclegan_jax.core.networks.convolutions.window import Window

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_LAYOUT_TRANSPOSED = ("NHWC", "HWOI", "NHWC")


def conv(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    strides, pads = (window.stride,) * 2, ((window.padding,) * 2,) * 2
    return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_LAYOUT)


def input_gradient(window: Window, dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.input_gradient`."""
    around = [taps - 1 - window.padding for taps in window.size]
    return lax.conv_general_dilated(
        dy,
        lax.rev(kernel, (0, 1)),
        (1, 1),
        [(pad, pad + more) for pad, more in zip(around, window.unread, strict=True)],
        lhs_dilation=(window.stride,) * 2,
        dimension_numbers=_LAYOUT_TRANSPOSED,
    )


def kernel_gradient(window: Window, x: jax.Array, dy: jax.Array) -> jax.Array:
    """See `convolutions.kernel_gradient`."""
    kernel = jax.ShapeDtypeStruct(window.kernel, x.dtype)
    return jax.linear_transpose(lambda kernel: conv(window, x, kernel), kernel)(dy)[0]
