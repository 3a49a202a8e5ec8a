"""Convolutions as plain functions, each in the form that its platform runs fastest.

Shapes use B (batch), H, W (space), I and O (channels in and out); images are
channels last, kernels [kh, kw, I, O]. This is the only place that knows platforms:
accelerators are best served by XLA's own convolution, CPUs by the forms of
`convolutions_cpu`. All forms are equal functions; tests compare values and gradients.
"""

import functools
from collections.abc import Callable

import jax
from jax import lax

from cyclegan_jax.core.networks.convolutions import cpu as convolutions_cpu
from cyclegan_jax.core.networks.convolutions.xla import (
    conv_transpose_xla,
    conv_xla,
)

# Networks have many convolutions of the same shapes: they are traced once. Inlined:
# XLA:CPU brings only those into its fast layout that have no function of their own.
_traced_once = functools.partial(jax.jit, static_argnums=(0, 1), inline=True)


def _differentiable(cpu: Callable, cpu_gradients: Callable, default: Callable):
    """Returns (stride, padding, x, kernel) -> y with a backward pass of its own.

    Were each platform's form differentiated by itself, JAX would trace all of them anew
    for every convolution: half of the time that a training step takes to trace.
    """

    @_traced_once
    def forward(stride, padding, x, kernel):
        return lax.platform_dependent(
            x,
            kernel,
            cpu=functools.partial(cpu, stride, padding),
            default=functools.partial(default, stride, padding),
        )

    @_traced_once
    def backward(stride, padding, x, kernel, dy):
        def plain(x, kernel, dy):
            _, vjp = jax.vjp(functools.partial(default, stride, padding), x, kernel)
            return vjp(dy)

        return lax.platform_dependent(
            x,
            kernel,
            dy,
            cpu=functools.partial(cpu_gradients, stride, padding),
            default=plain,
        )

    convolve = jax.custom_vjp(forward, nondiff_argnums=(0, 1))
    convolve.defvjp(
        # Itself again, for gradients of gradients.
        lambda *args: (convolve(*args), args[2:]),
        lambda stride, padding, saved, dy: backward(stride, padding, *saved, dy),
    )
    return convolve


_conv = _differentiable(
    convolutions_cpu.conv, convolutions_cpu.conv_gradients, conv_xla
)
_conv_transpose = _differentiable(
    convolutions_cpu.conv_transpose,
    convolutions_cpu.conv_transpose_gradients,
    conv_transpose_xla,
)


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
    return _conv(stride, padding, x, kernel)


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
    return _conv_transpose(stride, padding, x, kernel)
