"""XLA's own convolutions, with PyTorch's meaning of stride and padding.

Arguments and results as in `convolutions`.
"""

import jax
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_xla(stride: int, padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    pads = ((padding, padding), (padding, padding))
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=_LAYOUT
    )


def conv_transpose_xla(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array
) -> jax.Array:
    """See `convolutions.conv_transpose`."""
    # The dilated input has size stride (H - 1) + 1; these pads give stride H outputs.
    pads = [(k - 1 - padding, stride - 1 + padding) for k in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        pads,
        lhs_dilation=(stride, stride),
        dimension_numbers=_LAYOUT,
    )
