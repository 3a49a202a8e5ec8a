"""3x3 convolutions with fewer products (Winograd; Lavin and Gray 2016).

A tile of 2x2 outputs of a 3x3 convolution depends on 4x4 inputs. Computed directly it
takes 36 products a channel pair; `F(2x2, 3x3)` takes 16: it transforms the 4x4 inputs
and the kernel by sums and differences, multiplies them place by place, and transforms
the 16 results back. Summed over channels, each of the 16 places is a product of
matrices, which is what a CPU does best.

All transforms are separable and linear, so each gradient is the same three steps with
transforms transposed, and saves as much. The transforms only add, subtract and halve:
roundings grow by about 2 compared with the direct form.

B is the batch, I and O are channels, h and w count tiles; the first axis, of 16, is the
place in a tile.
"""

import jax
import jax.numpy as jnp
from jax import lax

_HEIGHT, _WIDTH = 1, 2


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves without padding: [B, 2h+2, 2w+2, I], [3, 3, I, O] -> [B, 2h, 2w, O]."""
    v, u = _on_both_axes(_input, x), _kernel_transform(kernel)
    places = lax.dot_general(v.reshape(16, -1, v.shape[-1]), u, _CONTRACT_LAST_FIRST)
    return _on_both_axes_back(_output, places, v.shape)


def input_gradient(dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """The gradient of `convolve` for x: [B, 2h, 2w, O] -> [B, 2h+2, 2w+2, I]."""
    v, u = _on_both_axes(_output_transposed, dy), _kernel_transform(kernel)
    places = lax.dot_general(v.reshape(16, -1, v.shape[-1]), u, _CONTRACT_LAST_LAST)
    return _on_both_axes_back(_input_transposed, places, v.shape)


def kernel_gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
    """The gradient of `convolve` for the kernel: [3, 3, I, O]."""
    v, w = _on_both_axes(_input, x), _on_both_axes(_output_transposed, dy)
    v, w = (t.reshape(16, -1, t.shape[-1]) for t in (v, w))
    places = lax.dot_general(v, w, _CONTRACT_TILES)
    places = _kernel_transposed(places.reshape(4, 4, *places.shape[1:]))
    return _kernel_transposed(places.swapaxes(0, 1))


# Contracted axes, and the batch axis of 16 places, of both factors.
_CONTRACT_LAST_FIRST = (((2,), (1,)), ((0,), (0,)))
_CONTRACT_LAST_LAST = (((2,), (2,)), ((0,), (0,)))
_CONTRACT_TILES = (((1,), (1,)), ((0,), (0,)))


def _on_both_axes(transform, x):
    """[B, H, W, C] -> [4, 4, B, h, w, C], places along the width first."""
    return transform(transform(x, _HEIGHT), 1 + _WIDTH)


def _on_both_axes_back(transform, places, shape):
    """[16, B h w, C] -> [B, H, W, C]."""
    places = places.reshape(*shape[:-1], places.shape[-1])
    return transform(transform(places, 1 + _WIDTH), _HEIGHT)


def _kernel_transform(kernel):
    """[3, 3, I, O] -> [16, I, O], places along the width first."""
    u = _kernel(_kernel(kernel).swapaxes(0, 1))
    return u.reshape(16, *u.shape[2:])


# In one dimension: 2 outputs, 3 taps, 4 places. Transforms to places stack these along
# a new first axis; those back take it away. `axis` is that of the image.


def _input(x, axis):
    even, odd = _even_and_odd(x, axis)
    tiles = even.shape[axis] - 1
    d0, d2 = (lax.slice_in_dim(even, i, i + tiles, axis=axis) for i in (0, 1))
    d1, d3 = (lax.slice_in_dim(odd, i, i + tiles, axis=axis) for i in (0, 1))
    return jnp.stack([d0 - d2, d1 + d2, d2 - d1, d1 - d3])


def _input_transposed(m, axis):
    """Neighbouring tiles overlap by two pixels, whose parts are added."""
    even = _pad(m[0], 0, 1, axis) + _pad(m[1] + m[2] - m[0], 1, 0, axis)
    odd = _pad(m[1] - m[2] + m[3], 0, 1, axis) - _pad(m[3], 1, 0, axis)
    return _interleave(even, odd, axis)


def _kernel(k):
    outer, middle = 0.5 * (k[0] + k[2]), 0.5 * k[1]
    return jnp.stack([k[0], outer + middle, outer - middle, k[2]])


def _kernel_transposed(m):
    outer, middle = 0.5 * (m[1] + m[2]), 0.5 * (m[1] - m[2])
    return jnp.stack([m[0] + outer, middle, outer + m[3]])


def _output(m, axis):
    return _interleave(m[0] + m[1] + m[2], m[1] - m[2] - m[3], axis)


def _output_transposed(dy, axis):
    even, odd = _even_and_odd(dy, axis)
    return jnp.stack([even, even + odd, even - odd, -odd])


def _even_and_odd(x, axis):
    return [lax.slice_in_dim(x, i, None, stride=2, axis=axis) for i in (0, 1)]


def _interleave(even, odd, axis):
    shape = list(even.shape)
    shape[axis] *= 2
    return jnp.stack([even, odd], axis + 1).reshape(shape)


def _pad(x, before, after, axis):
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (before, after, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), widths)
