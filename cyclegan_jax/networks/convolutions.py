"""Convolutions as plain functions, each in the form that its platform runs fastest.

Shapes use B (batch), H, W (space), I and O (channels in and out); images are
channels last, kernels [kh, kw, I, O]. This is the only place that knows platforms:
accelerators are best served by XLA's own convolution, CPUs by the forms of
`convolutions_cpu`. All forms are equal functions; tests compare values and gradients.
"""

import functools

import jax
from jax import lax

from cyclegan_jax.networks import convolutions_cpu
from cyclegan_jax.networks.convolutions_xla import conv_transpose_xla, conv_xla

# Tracing takes a third less time. Inlined: XLA:CPU brings only those convolutions into
# its fast layout that are not in a function of their own.
_traced_once = functools.partial(
    jax.jit, static_argnames=("stride", "padding"), inline=True
)


@_traced_once
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
        cpu=functools.partial(convolutions_cpu.conv, stride, padding),
        default=functools.partial(conv_xla, stride, padding),
    )


@_traced_once
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
        cpu=functools.partial(convolutions_cpu.conv_transpose, stride, padding),
        default=functools.partial(conv_transpose_xla, stride, padding),
    )
