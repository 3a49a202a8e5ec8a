"""Convolutions as plain functions, each in the form that its platform runs fastest.

Shapes use B (batch), H, W (space), I and O (channels in and out); images are
channels last, kernels [kh, kw, I, O].

XLA's accelerators are best served by its own convolution. XLA:CPU is fast on most
convolutions too, but very slow on a few of them and on some gradients: up to 100
times slower than a matrix product of the same size. There the same numbers are
computed in other forms, and the backward pass differentiates, for each argument,
whichever form has the fast gradient. All forms are equal functions; tests compare
values and gradients.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 8  # Below this, XLA:CPU's convolution leaves most of a vector empty.


def conv(
    x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0
) -> jax.Array:
    """Convolves with zero padding on all sides (PyTorch's `Conv2d`).

    Args:
      x: [B, H, W, I].
      kernel: [kh, kw, I, O].
      stride: step of the window in both directions, in pixels.
      padding: zeros added on each of the four sides, in pixels.

    Returns:
      [B, (H + 2 padding - kh) // stride + 1, likewise for W, O].
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_conv_cpu, stride, padding),
        default=functools.partial(_conv_xla, stride, padding),
    )


def conv_transpose(
    x: jax.Array, kernel: jax.Array, *, stride: int = 2, padding: int = 1
) -> jax.Array:
    """Transposed convolution that multiplies H and W by `stride` exactly.

    Equals PyTorch's `ConvTranspose2d` with `padding`, and with the `output_padding`
    that makes the output `stride` times the input (1 for 3x3, 0 for 4x4 kernels),
    for a kernel flipped in space (PyTorch's weight [I, O, kh, kw]).

    Args:
      x: [B, H, W, I].
      kernel: [kh, kw, I, O].
      stride: factor between output and input size.
      padding: PyTorch's `padding`, in output pixels.

    Returns:
      [B, stride H, stride W, O].
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_conv_transpose_cpu, stride, padding),
        default=functools.partial(_conv_transpose_xla, stride, padding),
    )


def _conv_xla(stride, padding, x, kernel):
    pads = ((padding, padding), (padding, padding))
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=_LAYOUT
    )


def _conv_transpose_xla(stride, padding, x, kernel):
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


def _shifted(x, kh, kw, stride, padding):
    """Lists x as seen by each of the kh kw taps, each [B, H', W', I]."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
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
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    taps = kernel.transpose(0, 2, 1, 3).reshape(kh, 1, channels, kw * out)
    y = _conv_xla(1, 0, x, taps)  # [B, H', W, kw O]
    width = x.shape[2] - kw + 1
    return sum(
        y[:, :, j : j + width, j * out : (j + 1) * out] for j in range(kw)
    )  # [B, H', W', O]


def _conv_cpu_forward(stride, padding, x, kernel):
    kh, _, _, out = kernel.shape
    if stride == 1 and kh >= 5 and out <= _FEW_CHANNELS:
        return _conv_rows(padding, x, kernel)
    return _conv_xla(stride, padding, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv_cpu(stride, padding, x, kernel):
    return _conv_cpu_forward(stride, padding, x, kernel)


def _conv_cpu_fwd(stride, padding, x, kernel):
    return _conv_cpu_forward(stride, padding, x, kernel), (x, kernel)


def _conv_cpu_bwd(stride, padding, saved, dy):
    x, kernel = saved
    kh, _, _, out = kernel.shape
    xla = functools.partial(_conv_xla, stride, padding)
    patches = functools.partial(_conv_patches, stride, padding)
    dx_form = xla if out <= _FEW_CHANNELS else patches
    dkernel_form = patches if stride > 1 or kh == 4 else xla
    (dx,) = jax.vjp(lambda x: dx_form(x, kernel), x)[1](dy)
    (dkernel,) = jax.vjp(lambda kernel: dkernel_form(x, kernel), kernel)[1](dy)
    return dx, dkernel


_conv_cpu.defvjp(_conv_cpu_fwd, _conv_cpu_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv_transpose_cpu(stride, padding, x, kernel):
    return _conv_transpose_xla(stride, padding, x, kernel)


def _conv_transpose_cpu_fwd(stride, padding, x, kernel):
    return _conv_transpose_xla(stride, padding, x, kernel), (x, kernel)


def _conv_transpose_cpu_bwd(stride, padding, saved, dy):
    x, kernel = saved
    kh, kw, channels, out = kernel.shape
    xla = functools.partial(_conv_transpose_xla, stride, padding)
    (dx,) = jax.vjp(lambda x: xla(x, kernel), x)[1](dy)
    # A strided convolution maps dy to dx, so the kernel's gradient is a product of
    # x with the patches of dy that such a convolution reads.
    patches = jnp.concatenate(_shifted(dy, kh, kw, stride, padding), axis=-1)
    product = patches.reshape(-1, patches.shape[-1]).T @ x.reshape(-1, channels)
    dkernel = product.reshape(kh, kw, out, channels)[::-1, ::-1].swapaxes(2, 3)
    return dx, dkernel


_conv_transpose_cpu.defvjp(_conv_transpose_cpu_fwd, _conv_transpose_cpu_bwd)
