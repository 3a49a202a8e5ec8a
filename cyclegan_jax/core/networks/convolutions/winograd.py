"""3x3 convolutions with fewer products (Winograd; Lavin and Gray 2016).

A tile of m x m outputs of a 3x3 convolution depends on (m + 2) x (m + 2) inputs.
Computed directly it takes 9 m^2 products a channel pair; `F(m x m, 3x3)` takes
(m + 2)^2: it transforms the inputs and the kernel, multiplies them place by place, and
transforms the results back. Summed over channels, each place is a product of matrices,
which is what a CPU does best.

All transforms are separable and linear, so each gradient is the same three steps with
transforms transposed, and saves as much.

B is the batch, I and O are channels, h and w count tiles; the first axis, of
(m + 2)^2, is the place in a tile.
"""

import functools
import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.core.networks.convolutions import rows

_HEIGHT, _WIDTH = 1, 2
_TAPS = 3

Matrix = tuple[tuple[float, ...], ...]


class Tile(NamedTuple):
    """A tile of outputs, and its transforms in one dimension.

    With `@` the product of matrices and `*` that by elements, the outputs y [m] of
    inputs d [m + 2] and taps g [3] are `output.T @ ((kernel @ g) * (input @ d))`.

    Attributes:
      outputs: m.
      input: [m + 2, m + 2].
      kernel: [m + 2, 3].
      output: [m + 2, m].
    """

    outputs: int
    input: Matrix
    kernel: Matrix
    output: Matrix

    def fits(self, height: int, width: int) -> bool:
        """Whether outputs of that size are whole tiles."""
        return height % self.outputs == width % self.outputs == 0

    @classmethod
    def at(cls, *points: Fraction) -> "Tile":
        """The tile of F(m, 3) for m + 1 points, and infinity (Cook and Toom).

        Outputs, inputs and taps are taken as polynomials: outputs and taps are
        evaluated at the points, inputs are multiplied by the transpose of what
        interpolates their product. Points far from 1 have large powers, which cost
        precision; each point may be scaled, here by a power of two, which is exact.
        """
        outputs = len(points) - 1
        rows = []
        for point in points:
            others = [other for other in points if other != point]
            product = math.prod(point - other for other in others)
            taps = [point**k / product for k in range(_TAPS)]
            powers = [point**k for k in range(outputs)]
            rows.append(_balanced([*_polynomial(others), 0], taps, powers))
        highest = [0] * (outputs - 1) + [1]
        rows.append(_balanced(_polynomial(points), [0, 0, 1], highest))
        return cls(outputs, *zip(*rows, strict=True))


def _balanced(inputs, taps, outputs):
    """A place's rows, with those of inputs and taps scaled to about the same sums."""
    ratio = sum(map(abs, inputs)) / sum(map(abs, taps))
    scale = Fraction(2) ** round(math.log2(ratio) / 2)
    inputs = [value / scale for value in inputs]
    taps = [value * scale for value in taps]
    return [tuple(map(float, row)) for row in (inputs, taps, outputs)]


def _polynomial(roots):
    """Coefficients of the product of (x - root), that of x^0 first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [0, *coefficients], [*coefficients, 0]
        coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


SMALL = Tile.at(Fraction(0), Fraction(1), Fraction(-1))
"""F(2x2, 3x3): 16 products instead of 36; relative error 5e-7 for 256 channels."""
LARGE = Tile.at(
    *(Fraction(n, d) for n, d in ((0, 1), (3, 2), (-3, 2), (2, 3), (-2, 3)))
)
"""F(4x4, 3x3): 36 products instead of 144; relative error 1.2e-6 for 256 channels.

The points are the most precise of those tried; the usual 0, 1, -1, 2, -2 have 2.6e-6.
"""


def kernel_places(kernel: jax.Array, tile: Tile) -> jax.Array:
    """Transforms a kernel: [3, 3, I, O] -> [(m+2)^2, I, O], along the width first."""
    u = jnp.stack(_combine(tile.kernel, kernel))
    u = jnp.stack(_combine(tile.kernel, u.swapaxes(0, 1)))
    return u.reshape(-1, *u.shape[2:])


def convolve(x: jax.Array, u: jax.Array, tile: Tile) -> jax.Array:
    """Convolves, unpadded: [B, mh+2, mw+2, I], `kernel_places` -> [B, mh, mw, O]."""
    v = _on_both_axes(_input, x, tile)
    places = lax.dot_general(_flat(v), u, _CONTRACT_LAST_FIRST)
    return _on_both_axes_back(_output, places, v.shape, tile)


def input_gradient(dy: jax.Array, u: jax.Array, tile: Tile) -> jax.Array:
    """The gradient of `convolve` for x: [B, mh, mw, O] -> [B, mh+2, mw+2, I]."""
    v = _on_both_axes(_output_transposed, dy, tile)
    places = lax.dot_general(_flat(v), u, _CONTRACT_LAST_LAST)
    return _on_both_axes_back(_input_transposed, places, v.shape, tile)


def kernel_gradient(x: jax.Array, dy: jax.Array, tile: Tile) -> jax.Array:
    """The gradient of `convolve` for the kernel: [3, 3, I, O]."""
    v = _on_both_axes(_input, x, tile)
    w = _on_both_axes(_output_transposed, dy, tile)
    places = lax.dot_general(_flat(v), _flat(w), _CONTRACT_TILES)
    places = places.reshape(*v.shape[:2], *places.shape[1:])
    back = _transposed(tile.kernel)
    taps = jnp.stack(_combine(back, places))
    return jnp.stack(_combine(back, taps.swapaxes(0, 1)))


# Contracted axes, and the batch axis of places, of both factors.
_CONTRACT_LAST_FIRST = (((2,), (1,)), ((0,), (0,)))
_CONTRACT_LAST_LAST = (((2,), (2,)), ((0,), (0,)))
_CONTRACT_TILES = (((1,), (1,)), ((0,), (0,)))


def _flat(v):
    """[m+2, m+2, B, h, w, C] -> [(m+2)^2, B h w, C]."""
    return v.reshape(v.shape[0] * v.shape[1], -1, v.shape[-1])


def _on_both_axes(transform, x, tile):
    """[B, H, W, C] -> [m+2, m+2, B, h, w, C], places along the width first."""
    return transform(transform(x, _HEIGHT, tile), 1 + _WIDTH, tile)


def _on_both_axes_back(transform, places, shape, tile):
    """[(m+2)^2, B h w, C] -> [B, H, W, C]."""
    places = places.reshape(*shape[:-1], places.shape[-1])
    return transform(transform(places, 1 + _WIDTH, tile), _HEIGHT, tile)


# In one dimension. Transforms to places stack these along a new first axis; those back
# take it away. `axis` is that of the image.


def _input(x, axis, tile):
    tiles = (x.shape[axis] - 2) // tile.outputs
    parts = _strided(x, axis, tile.outputs, tiles, range(tile.outputs + 2))
    return jnp.stack(_combine(tile.input, parts))


def _input_transposed(places, axis, tile):
    """Neighbouring tiles overlap by two pixels, whose parts are added."""
    parts = _combine(_transposed(tile.input), places)
    inside, beyond = parts[: tile.outputs], parts[tile.outputs :]
    beyond += [jnp.zeros_like(parts[0])] * (tile.outputs - 2)
    inside, beyond = (_interleave(part, axis) for part in (inside, beyond))
    step = tile.outputs
    return rows.pad(inside, axis, 0, 2) + rows.pad(beyond, axis, step, 2 - step)


def _output(places, axis, tile):
    return _interleave(_combine(_transposed(tile.output), places), axis)


def _output_transposed(dy, axis, tile):
    tiles = dy.shape[axis] // tile.outputs
    parts = _strided(dy, axis, tile.outputs, tiles, range(tile.outputs))
    return jnp.stack(_combine(tile.output, parts))


def _combine(matrix, parts):
    """The product of a matrix of constants, mostly 0 and 1, and a list of arrays.

    Rows of opposite points have the same even and opposite odd terms, as have columns
    of a transposed matrix: these terms are computed once for both.
    """
    parts, columns = list(parts), _transposed(matrix)
    for i, j in _opposite(columns):
        parts[i], parts[j] = parts[i] + parts[j], parts[i] - parts[j]
        even, odd = _even_and_odd(columns[i], columns[j])
        columns = (*columns[:i], even, odd, *columns[j + 1 :])
    lines, results = _transposed(columns), {}
    for i, j in _opposite(lines):
        even, odd = (_sum(line, parts) for line in _even_and_odd(lines[i], lines[j]))
        results |= {i: even + odd, j: even - odd}
    alone = (i for i in range(len(lines)) if i not in results)
    results |= {i: _sum(lines[i], parts) for i in alone}
    return [results[i] for i in range(len(lines))]


def _sum(row, parts):
    terms = zip(row, parts, strict=True)
    return functools.reduce(jnp.add, [x if c == 1 else c * x for c, x in terms if c])


def _opposite(lines):
    """Lists neighbours that differ in some of their signs, but not in all."""
    pairs = [(i, i + 1) for i in range(len(lines) - 1)]
    return [
        (i, j)
        for i, j in pairs
        if [*map(abs, lines[i])] == [*map(abs, lines[j])]
        and all(map(any, _even_and_odd(lines[i], lines[j])))
    ]


def _even_and_odd(a, b):
    """Divides a line into what is the same in both, and what has the other sign."""
    both = list(zip(a, b, strict=True))
    return tuple(tuple(x if x == s * y else 0.0 for x, y in both) for s in (1, -1))


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _strided(x, axis, stride, count, starts):
    """Every `stride`th line from each start on."""
    ends = (start + (count - 1) * stride + 1 for start in starts)
    return [
        lax.slice_in_dim(x, start, end, stride=stride, axis=axis)
        for start, end in zip(starts, ends, strict=True)
    ]


def _interleave(parts, axis):
    shape = list(parts[0].shape)
    shape[axis] *= len(parts)
    return jnp.stack(parts, axis + 1).reshape(shape)
