"""Convolutions as plain functions, each in the form that its platform runs fastest.

Shapes use B (batch), H, W (space), I and O (channels in and out); images are
channels last, kernels [kh, kw, I, O]. Within `core`, only this package (see `linear`
and `mirrored`) and `networks.statistics` depend on the platform. All forms compute the
same function; tests compare values and gradients.
"""

import jax

from cyclegan_jax.core.networks.convolutions import cpu, linear, mirrored
from cyclegan_jax.core.networks.convolutions.window import Window


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int = 1,
    padding: int = 0,
    reflect: bool = False,
    places: jax.Array | None = None,
) -> jax.Array:
    """Convolves with padding on all sides (PyTorch's `Conv2d`).

    Args:
      x: [B, H, W, I].
      kernel: [kh, kw, I, O].
      stride: step of the window in both directions, in pixels.
      padding: zeros added on each of the four sides, in pixels.
      reflect: pads with mirrored pixels instead.
      places: from `prepare`, of the kernel.

    Returns:
      [B, (H + 2 padding - kh) // stride + 1, likewise for W, O].
    """
    window = Window(kernel.shape, stride, padding)
    if reflect and padding:
        return mirrored.conv(window, x, kernel, places)
    return linear.conv(window, x, kernel, places)


def prepare(kernel: jax.Array) -> jax.Array | None:
    """Transforms a kernel beforehand, for many calls of `conv` with it on CPUs.

    The transform of Winograd's form (`winograd`) takes a tenth of the time in which a
    generator translates an image. It is a constant for JAX: what is differentiated is
    the kernel.

    Args:
      kernel: [kh, kw, I, O], of a convolution with stride 1.

    Returns:
      `places` of `conv`; None where it never uses them. With few tiles it does not.
    """
    return _prepare(kernel) if jax.default_backend() == "cpu" else None


_prepare = jax.jit(cpu.prepare)


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
    return linear.input_gradient(window, dy, kernel)


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
    return linear.kernel_gradient(Window(kernel, stride, padding), x, dy)


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
    return linear.input_gradient(window, x, strided)
