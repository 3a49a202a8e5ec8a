"""The three linear functions of a convolution, closed under differentiation.

A convolution is linear in its input and in its kernel, so three functions are closed
under differentiation: `conv`, `input_gradient` and `kernel_gradient`. Each has the two
others as derivatives, to any order, and a form for each platform: CPUs have those of
`cpu`, TPUs those of `tpu`, GPUs XLA's own. A transposed convolution is a gradient for
an input, so the gradient for its kernel is that of the strided convolution, with the
gradient of the output in the place of the input. Left to itself, JAX makes of it a
convolution over a dilated input with a window as large as the image, for which GPUs
have no fast program.

All take a `Window`, then two arrays, and `conv` what `convolutions.prepare` made of the
kernel, if anything; see the functions of the same names in `convolutions`.
"""

import functools
from collections.abc import Callable

import jax
from jax import lax

from cyclegan_jax.core.networks.convolutions import cpu, tpu, xla


def _by_platform(name: str) -> Callable:
    """Returns (window, array, array) -> array in the form of the platform."""
    on_cpu, on_tpu, default = (getattr(forms, name) for forms in (cpu, tpu, xla))

    # Networks have many convolutions of the same shapes: they are traced once. Inlined:
    # XLA:CPU brings only those into its fast layout that have no function of their own.
    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    @functools.partial(jax.jit, static_argnums=0, inline=True)
    def function(window, a, b, *places):  # Of the kernel, for CPUs.
        return lax.platform_dependent(
            *(a, b, *places),
            cpu=functools.partial(on_cpu, window),
            tpu=lambda a, b, *_: on_tpu(window, a, b),
            default=lambda a, b, *_: default(window, a, b),
        )

    return function


conv = _by_platform("conv")
input_gradient = _by_platform("input_gradient")
kernel_gradient = _by_platform("kernel_gradient")


def _at_once(x: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same arrays, as if computed together.

    What XLA:CPU needs of x alone in a backward pass, such as patches, it would make in
    the forward pass, and keep.
    """
    arrays = lax.platform_dependent(
        *(x, dy),
        cpu=lambda *arrays: lax.optimization_barrier(arrays),
        default=lambda *arrays: arrays,
    )
    return arrays[0], arrays[1]


def _define_derivatives():
    def conv_backward(window, saved, dy):
        x, kernel, *places = saved
        x, dy = _at_once(x, dy)
        dx = input_gradient(window.over(*x.shape[1:3]), dy, kernel)
        return dx, kernel_gradient(window, x, dy), *(None for _ in places)

    def input_gradient_backward(window, saved, x):
        dy, kernel = saved
        dy, x = _at_once(dy, x)
        return conv(window, x, kernel), kernel_gradient(window, x, dy)

    def kernel_gradient_backward(window, saved, kernel):
        x, dy = saved
        dx = input_gradient(window.over(*x.shape[1:3]), dy, kernel)
        return dx, conv(window, x, kernel)

    _with_backward(conv, conv_backward)
    _with_backward(input_gradient, input_gradient_backward)
    _with_backward(kernel_gradient, kernel_gradient_backward)


def _with_backward(function, backward):
    def forward(window, *arrays):
        return function(window, *arrays), arrays

    function.defvjp(forward, backward)


_define_derivatives()
