"""The convolutions of `convolutions` in the forms that XLA:CPU runs fastest.

XLA:CPU's convolution is about as fast as its matrix product where there are many
channels on both sides, and up to 100 times slower elsewhere: where an image of three
channels comes in or goes out, and for kernel gradients with a stride. There the same
numbers are computed in other forms; and 3x3 convolutions between many channels, most
of a generator's work, with fewer products (`winograd`). bfloat16 has forms of its own
(`bfloat16`). docs/performance.md has the measurements.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.core.networks.convolutions import bfloat16, rows, winograd, xla
from cyclegan_jax.core.networks.convolutions.window import Window


class _Fewest(NamedTuple):
    """From where on Winograd's form pays.

    Attributes:
      channels: on either side.
      small: tiles of F(2x2, 3x3). A kernel's transform takes the same time for few
        tiles as for many, and products of few rows keep few cores busy.
      large: tiles of F(4x4, 3x3).
    """

    channels: int
    small: int
    large: float


# Large tiles would be faster forward, but eighteen such layers in a row lose a digit.
_FORWARD = _Fewest(channels=128, small=128, large=math.inf)
_INPUT_GRADIENT = _Fewest(channels=128, small=128, large=128)
# XLA's own kernel gradient is slower even for few tiles.
_KERNEL_GRADIENT = _Fewest(channels=64, small=1, large=64)


def _also_in_bfloat16(many_channels: Callable):
    """Completes a form for float32 with one for bfloat16 between many channels.

    Where that does not pay, or is not defined, bfloat16 goes through the float32 form.
    """

    def complete(form):
        @functools.wraps(form)
        def either(window, a, b, *places):
            if a.dtype != jnp.bfloat16:
                return form(window, a, b, *places)
            if _suits_products(window, a):
                return many_channels(window, a, b)
            y = form(window, a.astype(jnp.float32), b.astype(jnp.float32))
            return y.astype(jnp.bfloat16)

        return either

    return complete


def _suits_products(window, images):
    """Whether bfloat16's form is defined, and the processor made for it."""
    return (
        bfloat16.uses_matrix_unit()
        and window.stride <= min(window.size)
        and min(window.channels) > rows.FEW
        and all(isinstance(side, int) for side in images.shape)  # Not in an export.
    )


@_also_in_bfloat16(bfloat16.conv)
def conv(
    window: Window, x: jax.Array, kernel: jax.Array, places: jax.Array | None = None
) -> jax.Array:
    """See `convolutions.conv`."""
    padding = window.padding
    if tile := _winograd_tile(_FORWARD, window, x.shape, padding):
        u = winograd.kernel_places(kernel, tile) if places is None else places
        return winograd.convolve(rows.zero_pad(x, padding), u, tile)
    if few := _to_few(window):
        return few(x, kernel)
    return xla.conv(window, x, kernel)


@_also_in_bfloat16(bfloat16.input_gradient)
def input_gradient(window: Window, dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.input_gradient`."""
    padding = window.padding
    if tile := _winograd_tile(_INPUT_GRADIENT, window, dy.shape, 1):
        u = winograd.kernel_places(kernel, tile)
        dx = winograd.input_gradient(dy, u, tile)
        return dx[:, padding:-padding, padding:-padding] if padding else dx
    channels, _ = window.channels
    if window.stride == 1 and window.size[0] >= rows.LARGE and channels <= rows.FEW:
        shape = dy.shape[0], *window.input_size(dy.shape[1:3]), channels
        x = jax.ShapeDtypeStruct(shape, dy.dtype)
        patches = jax.linear_transpose(lambda x: _conv_patches(window, x, kernel), x)
        return patches(dy)[0]
    return xla.input_gradient(window, dy, kernel)


@_also_in_bfloat16(bfloat16.kernel_gradient)
def kernel_gradient(window: Window, x: jax.Array, dy: jax.Array) -> jax.Array:
    """See `convolutions.kernel_gradient`."""
    padding = window.padding
    if tile := _winograd_tile(_KERNEL_GRADIENT, window, x.shape, padding):
        gradient = winograd.kernel_gradient(rows.zero_pad(x, padding), dy, tile)
        return lax.optimization_barrier(gradient)
    if few := _to_few(window):
        form = functools.partial(few, x)
    elif window.stride > 1 or window.size[0] == 4:
        form = functools.partial(_conv_patches, window, x)
    else:
        return xla.kernel_gradient(window, x, dy)
    kernel = jax.ShapeDtypeStruct(window.kernel, x.dtype)
    return jax.linear_transpose(form, kernel)(dy)[0]


def prepare(kernel: jax.Array) -> jax.Array | None:
    """See `convolutions.prepare`."""
    *size, channels, out = kernel.shape
    suits = size == [3, 3] and min(channels, out) >= _FORWARD.channels
    if not suits or kernel.dtype != jnp.float32:
        return None
    return winograd.kernel_places(kernel, winograd.SMALL)  # The tile of `conv`.


def _winograd_tile(fewest, window, images, padding):
    """The tile of the form that suits the images' shape; None where no form does."""
    if (*window.size, window.stride) != (3, 3, 1):
        return None
    if min(window.channels) < fewest.channels:
        return None
    height, width = (side + 2 * padding - 2 for side in images[1:3])
    large, small = winograd.LARGE, winograd.SMALL
    pixels = images[0] * height * width
    if not isinstance(pixels, int):  # In an export; photographs have many.
        return small if small.fits(height, width) else None
    for tile, least in ((large, fewest.large), (small, fewest.small)):
        if tile.fits(height, width) and pixels >= least * tile.outputs**2:
            return tile
    return None


def _to_few(window):
    """The form of a convolution from x and kernel to few channels; None for others."""
    channels, out = window.channels
    if window.stride > 1:
        return None
    if window.size[0] >= rows.LARGE and out <= rows.FEW:
        return functools.partial(rows.to_few, window.padding)
    if out == 1 and channels > rows.FEW:
        return functools.partial(_conv_shares, window)
    return None


def _conv_shares(window, x, kernel):
    """What each pixel gives to those around it, by one product; then moved and added.

    To one channel; with several, adding takes longer than XLA's convolution.
    """
    (kh, kw), padding = window.size, window.padding
    shares = jnp.einsum("bhwi,yxi->bhwyx", x, kernel[..., 0])

    def moved(i, j):
        share = rows.pad(shares[..., i, j], 1, padding - i, padding - (kh - 1 - i))
        return rows.pad(share, 2, padding - j, padding - (kw - 1 - j))

    parts = [moved(i, j) for i in range(kh) for j in range(kw)]
    return functools.reduce(jnp.add, parts)[..., None]


def _shifted(window, x):
    """Lists x as seen by each of the kh kw taps, each [B, H', W', I]."""
    (kh, kw), stride = window.size, window.stride
    x = rows.zero_pad(x, window.padding)
    height = (x.shape[1] - kh) // stride * stride + 1
    width = (x.shape[2] - kw) // stride * stride + 1
    return [
        x[:, i : i + height : stride, j : j + width : stride, :]
        for i in range(kh)
        for j in range(kw)
    ]


def _conv_patches(window, x, kernel):
    """The convolution as one product of a matrix of patches (im2col) and the kernel."""
    patches = jnp.concatenate(_shifted(window, x), axis=-1)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    product = patches.reshape(-1, patches.shape[-1]) @ matrix
    return product.reshape(*patches.shape[:3], -1)
