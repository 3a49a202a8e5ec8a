"""Convolutions as plain functions, each in the form that its platform runs fastest.

Shapes use B (batch), H, W (space), I and O (channels in and out); images are
channels last, kernels [kh, kw, I, O]. This is the only place that knows platforms:
accelerators are best served by XLA's own convolutions, CPUs by the forms of
`cpu`. All forms are equal functions; tests compare values and gradients.

A convolution is linear in its input and in its kernel, so three functions are closed
under differentiation: `conv`, `input_gradient` and `kernel_gradient`. Each has the two
others as derivatives, to any order, and a form for each platform. A transposed
convolution is a gradient for an input, so the gradient for its kernel is that of the
strided convolution, with the gradient of the output in the place of the input. Left to
itself, JAX makes of it a convolution over a dilated input with a window as large as the
image, for which GPUs have no fast program.
"""

import functools
from collections.abc import Callable

import jax
from jax import lax

from cyclegan_jax.core.networks.convolutions import cpu, xla
from cyclegan_jax.core.networks.convolutions.window import Window


def _by_platform(name: str) -> Callable:
    """Returns (window, array, array) -> array in the form of the platform."""
    on_cpu, default = (getattr(forms, name) for forms in (cpu, xla))

    # Networks have many convolutions of the same shapes: they are traced once. Inlined:
    # XLA:CPU brings only those into its fast layout that have no function of their own.
    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    @functools.partial(jax.jit, static_argnums=0, inline=True)
    def function(window, *arrays):
        return lax.platform_dependent(
            *arrays,
            cpu=functools.partial(on_cpu, window),
            default=functools.partial(default, window),
        )

    return function


_conv = _by_platform("conv")
_input_gradient = _by_platform("input_gradient")
_kernel_gradient = _by_platform("kernel_gradient")


def _define_derivatives():
    def conv_backward(window, saved, dy):
        x, kernel = saved
        dx = _input_gradient(window.over(*x.shape[1:3]), dy, kernel)
        return dx, _kernel_gradient(window, x, dy)

    def input_gradient_backward(window, saved, x):
        dy, kernel = saved
        return _conv(window, x, kernel), _kernel_gradient(window, x, dy)

    def kernel_gradient_backward(window, saved, kernel):
        x, dy = saved
        dx = _input_gradient(window.over(*x.shape[1:3]), dy, kernel)
        return dx, _conv(window, x, kernel)

    _with_backward(_conv, conv_backward)
    _with_backward(_input_gradient, input_gradient_backward)
    _with_backward(_kernel_gradient, kernel_gradient_backward)


def _with_backward(function, backward):
    function.defvjp(lambda window, a, b: (function(window, a, b), (a, b)), backward)


_define_derivatives()


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
    return _conv(Window(kernel.shape, stride, padding), x, kernel)


def input_gradient(
    dy: jax.Array,
    kernel: jax.Array,
    size: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
) -> jax.Array:
    """The gradient of `conv` for its input.

    Args:
      dy: that for its output, [B, H', W', O].
      kernel: [kh, kw, I, O].
      size: H and W.
      stride: as of `conv`.
      padding: as of `conv`.

    Returns:
      [B, H, W, I].
    """
    window = Window(kernel.shape, stride, padding).over(*size)
    return _input_gradient(window, dy, kernel)


def kernel_gradient(
    x: jax.Array,
    dy: jax.Array,
    size: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
) -> jax.Array:
    """The gradient of `conv` for its kernel.

    Args:
      x: [B, H, W, I].
      dy: that for its output, [B, H', W', O].
      size: kh and kw.
      stride: as of `conv`.
      padding: as of `conv`.

    Returns:
      [kh, kw, I, O].
    """
    kernel = (*size, x.shape[-1], dy.shape[-1])
    return _kernel_gradient(Window(kernel, stride, padding), x, dy)


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
    strided = kernel[::-1, ::-1].swapaxes(2, 3)  # Of the convolution back to x.
    below, right = (stride + 2 * padding - taps for taps in kernel.shape[:2])
    window = Window(strided.shape, stride, padding, (below, right))
    return _input_gradient(window, x, strided)
