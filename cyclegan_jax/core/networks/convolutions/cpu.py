"""The convolutions of `convolutions` in the forms that XLA:CPU runs fastest.

XLA:CPU's convolution is about as fast as its matrix product where there are many
channels on both sides, and up to 100 times slower elsewhere: where an image of three
channels comes in or goes out, and for kernel gradients with a stride. There the same
numbers are computed in other forms; and 3x3 convolutions between many channels, most
of a generator's work, with fewer products (`winograd`). bfloat16 has forms of its own
(`convolutions_bfloat16`). docs/performance.md has the measurements.

A form is a function of (x, kernel); the gradients differentiate, for each argument,
whichever form has the fast one.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from cyclegan_jax.core.networks.convolutions import (
    bfloat16 as convolutions_bfloat16,
)
from cyclegan_jax.core.networks.convolutions import (
    winograd,
)
from cyclegan_jax.core.networks.convolutions.xla import (
    conv_transpose_xla,
    conv_xla,
)
from cyclegan_jax.machine import runtime

_FEW = 8  # Channels; below this, XLA:CPU's convolution leaves most of a vector empty.
_MANY = 64  # From here on, Winograd's products saved outweigh its transforms.
_LARGE = 5  # Side of a kernel.


def _also_in_bfloat16(many_channels: Callable):
    """Completes a form for float32 with one for bfloat16 between many channels.

    Where that does not pay, or is not defined, bfloat16 goes through the float32 form.
    """

    def complete(form):
        @functools.wraps(form)
        def either(stride, padding, *arrays):
            x, kernel = arrays[:2]
            if x.dtype != jnp.bfloat16:
                return form(stride, padding, *arrays)
            if _suits_products(stride, x, kernel):
                return many_channels(stride, padding, *arrays)
            results = form(stride, padding, *(a.astype(jnp.float32) for a in arrays))
            return jax.tree.map(lambda y: y.astype(x.dtype), results)

        return either

    return complete


@_also_in_bfloat16(convolutions_bfloat16.conv)
def conv(stride: int, padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """See `convolutions.conv`."""
    if _suits_winograd(stride, padding, x, kernel):
        return winograd.convolve(_zero_pad(x, padding), kernel)
    kh, _, _, out = kernel.shape
    if stride == 1 and kh >= _LARGE and out <= _FEW:
        return _conv_rows(padding, x, kernel)
    return conv_xla(stride, padding, x, kernel)


@_also_in_bfloat16(convolutions_bfloat16.conv_gradients)
def conv_gradients(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns what the gradient dy of `conv` is for x and for the kernel."""
    if _suits_winograd(stride, padding, x, kernel):
        dx = winograd.input_gradient(dy, kernel)
        if padding:
            dx = dx[:, padding:-padding, padding:-padding]
        return dx, winograd.kernel_gradient(_zero_pad(x, padding), dy)
    kh, _, channels, out = kernel.shape
    xla = functools.partial(conv_xla, stride, padding)
    patches = functools.partial(_conv_patches, stride, padding)
    rows = functools.partial(_conv_rows, padding)
    image_in = stride == 1 and kh >= _LARGE and channels <= _FEW
    image_out = stride == 1 and kh >= _LARGE and out <= _FEW
    dx_form = patches if image_in else xla
    dkernel_form = rows if image_out else patches if stride > 1 or kh == 4 else xla
    (dx,) = jax.vjp(lambda x: dx_form(x, kernel), x)[1](dy)
    (dkernel,) = jax.vjp(lambda kernel: dkernel_form(x, kernel), kernel)[1](dy)
    return dx, dkernel


def _suits_products(stride, x, kernel):
    """Whether bfloat16's form is defined, and the processor made for it."""
    return (
        runtime.uses_matrix_unit()
        and stride <= min(kernel.shape[:2])
        and min(kernel.shape[2:]) > _FEW
        and all(isinstance(side, int) for side in x.shape)  # Not in an export.
    )


def _suits_winograd(stride, padding, x, kernel):
    """Whether it is applicable, precise and fast."""
    kh, kw, *channels = kernel.shape
    height, width = (side + 2 * padding for side in x.shape[1:3])
    return (
        (kh, kw, stride) == (3, 3, 1)
        and height % 2 == width % 2 == 0
        and min(channels) >= _MANY
        and x.dtype == jnp.float32
    )


@_also_in_bfloat16(convolutions_bfloat16.conv_transpose)
def conv_transpose(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array
) -> jax.Array:
    """See `convolutions.conv_transpose`."""
    return conv_transpose_xla(stride, padding, x, kernel)


@_also_in_bfloat16(convolutions_bfloat16.conv_transpose_gradients)
def conv_transpose_gradients(
    stride: int, padding: int, x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns what the gradient dy of `conv_transpose` is for x and the kernel."""
    kh, kw, channels, out = kernel.shape
    xla = functools.partial(conv_transpose_xla, stride, padding)
    (dx,) = jax.vjp(lambda x: xla(x, kernel), x)[1](dy)
    # A strided convolution maps dy to dx, so the kernel's gradient is a product of
    # x with the patches of dy that such a convolution reads.
    patches = jnp.concatenate(_shifted(dy, kh, kw, stride, padding), axis=-1)
    product = patches.reshape(-1, patches.shape[-1]).T @ x.reshape(-1, channels)
    dkernel = product.reshape(kh, kw, out, channels)[::-1, ::-1].swapaxes(2, 3)
    return dx, dkernel


def _zero_pad(x, padding):
    return jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _shifted(x, kh, kw, stride, padding):
    """Lists x as seen by each of the kh kw taps, each [B, H', W', I]."""
    x = _zero_pad(x, padding)
    rows = (x.shape[1] - kh) // stride * stride + 1
    columns = (x.shape[2] - kw) // stride * stride + 1
    return [
        x[:, i : i + rows : stride, j : j + columns : stride, :]
        for i in range(kh)
        for j in range(kw)
    ]


def _conv_patches(stride, padding, x, kernel):
    """The convolution as one product of a matrix of patches (im2col) and the kernel."""
    kh, kw, _, out = kernel.shape
    patches = jnp.concatenate(_shifted(x, kh, kw, stride, padding), axis=-1)
    product = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, out)
    return product.reshape(*patches.shape[:3], out)


def _conv_rows(padding, x, kernel):
    """A stride-1 convolution whose horizontal taps become output channels.

    A kh x kw convolution to O channels is a kh x 1 convolution to kw O channels whose
    results are shifted and added: for O of 3 it fills the vector units.
    """
    kh, kw, channels, out = kernel.shape
    x = _zero_pad(x, padding)
    taps = kernel.transpose(0, 2, 1, 3).reshape(kh, 1, channels, kw * out)
    y = conv_xla(1, 0, x, taps)  # [B, H', W, kw O]
    width = x.shape[2] - kw + 1
    return sum(
        y[:, :, j : j + width, j * out : (j + 1) * out] for j in range(kw)
    )  # [B, H', W', O]
