"""Exact tiled inference of ResNet generators on images that do not fit into memory.

Tiles overlap by the radius of the receptive field, so that tiling changes no
convolution. Instance norms, however, need statistics over the whole image. So all tiles
are processed once per norm: in pass k, the norms before the k-th use the statistics of
earlier passes, so that those of the k-th, over the cores of the tiles (which do not
overlap), are exact. A last pass computes the output.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from cyclegan_jax import images
from cyclegan_jax.core.networks import ResNetGenerator, norms
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.spread import Programs


class _Tile(NamedTuple):
    """A part of a picture, all in pixels.

    Attributes:
      top, left: of the part that the network is given.
      core: top, bottom, left, right (in the part) of what belongs to this tile alone.
    """

    top: int
    left: int
    core: tuple[int, int, int, int]


def halo(module: ResNetGenerator) -> int:
    """Radius of a generator's receptive field, rounded up to a multiple of 4.

    In pixels: 3 of the first convolution, 1 and 2 of the ones that halve, 2 * 4 of
    each block, up to 4 + 2 of the ones that double, and 3 of the last. Blurs add 1 and
    2 on the way down; interpolation and a convolution take 4 + 2 and 2 + 1 on the way
    up.
    """
    down = 6 if module.antialias else 3
    up = 9 if module.antialias_up else 6
    return -(-(3 + down + 8 * module.blocks + up + 3) // 4) * 4


def tiles(height: int, width: int, size: int, margin: int) -> Iterator[_Tile]:
    """Divides a picture into parts of `size` whose cores, `margin` inside, cover it.

    At the picture's border a core reaches to the border. All numbers are multiples
    of 4.
    """
    rows, columns = _cuts(height, size, margin), _cuts(width, size, margin)
    for top, y0, y1 in rows:
        for left, x0, x1 in columns:
            yield _Tile(top, left, (y0 - top, y1 - top, x0 - left, x1 - left))


def _cuts(length, size, margin):
    """Start of each part, and from where to where its core goes."""
    if length <= size:
        return [(0, 0, length)]
    cuts, done = [], 0
    while done < length:
        start = min(max(done - margin, 0), length - size)
        end = length if start + size == length else start + size - margin
        cuts.append((start, done, end))
        done = end
    return cuts


class TiledGenerator:
    """Applies a generator to one picture after the other."""

    def __init__(self, module: nn.Module | None, tile_size: int):
        """Checks that it can be done.

        Args:
          module: a ResNet generator; None if there is more to a translation.
          tile_size: side of the parts in pixels.

        Raises:
          UserError: the tiles are too small, or the network cannot be tiled.
        """
        if not isinstance(module, ResNetGenerator):
            raise UserError(
                "only ResNet generators can work in tiles: a U-Net sees the whole"
                " picture in every pixel; use --size=keep or resize."
            )
        if (module.outer_kernel, module.down_kernel) != (7, 3):
            raise UserError(
                "tiles are for generators with the published kernels, outer_kernel 7"
                " and down_kernel 3; use --size=keep or resize."
            )
        # `remat` is for gradients only, and would hide the norms' statistics.
        self._module, self._size = module.clone(remat=False), tile_size
        self._margin = halo(module)
        if tile_size % 4 or tile_size < 2 * self._margin + 64:
            least = 2 * self._margin + 64
            raise UserError(
                f"tile_size is {tile_size}; it must be a multiple of 4 from {least} on."
            )
        self._measure = Programs(lambda *args: self._run(*args)[1])
        self._translate = Programs(lambda *args: self._run(*args)[0])

    def __call__(self, variables: Any, picture: np.ndarray) -> np.ndarray:
        """Translates a picture.

        Args:
          variables: of the network.
          picture: [H, W, C], sides multiples of 4: uint8, or float32 in [-1, 1].

        Returns:
          float32 [H, W, C'] in [-1, 1].
        """
        if picture.dtype == np.uint8:
            picture = images.to_float(picture)
        height, width = picture.shape[:2]
        shape = rows, columns = min(self._size, height), min(self._size, width)
        parts = list(tiles(height, width, self._size, self._margin))

        def crop(tile):
            part = picture[tile.top :, tile.left :][:rows, :columns]
            return part[None], jnp.array(tile.core, jnp.int32)

        def measure(stats):
            kind = (*shape, stats is None)
            return _combine(
                [self._measure(kind, variables, *crop(t), stats) for t in parts]
            )

        stats = measure(None)  # With each tile's own: the first norm is exact.
        for _ in range(1, len(stats)):
            stats = measure(stats)
        result = np.empty((height, width, self._module.channels), np.float32)
        for tile in parts:
            values = np.asarray(
                self._translate(shape, variables, *crop(tile), stats)[0]
            )
            y0, y1, x0, x1 = tile.core
            target = result[tile.top :, tile.left :]
            target[y0:y1, x0:x1] = values[y0:y1, x0:x1]
        return result

    def _run(self, variables, part, core, stats):
        """Applies the network to a part of a picture, with given statistics.

        Args:
          variables: of the network.
          part: [1, h, w, C].
          core: as in `_Tile`.
          stats: norm's path -> mean and variance; None for those over the core.

        Returns:
          The translation, and each norm's statistics over the core.
        """
        measured = {}

        def norm(call, args, kwargs, context):
            module, name = context.module, "/".join(context.module.path)
            if not isinstance(module, norms.InstanceNorm):
                return call(*args, **kwargs)
            y = args[0].astype(jnp.float32)
            measured[name] = _statistics(y, core, part.shape[1:3])
            used = measured[name] if stats is None else stats[name]
            mean, var = (used[key].reshape(1, 1, 1, -1) for key in ("mean", "var"))
            y = (y - mean) * lax.rsqrt(var + norms.EPSILON)
            if module.affine:
                own = module.variables["params"]
                scale, bias = (own[k].reshape(1, 1, 1, -1) for k in ("scale", "bias"))
                y = y * scale + bias
            return y.astype(args[0].dtype)

        with nn.intercept_methods(norm):
            values = self._module.apply(variables, part)
        return values, measured


def _statistics(y, core, pixels):
    """Mean and variance over the core of [1, h, w, C], and the number of values."""
    inside = []
    for axis in range(2):
        length = y.shape[1 + axis]
        at = jnp.arange(length) * (pixels[axis] // length)
        inside.append((at >= core[2 * axis]) & (at < core[2 * axis + 1]))
    mask = (inside[0][:, None] & inside[1][None, :])[None, :, :, None]
    count = jnp.sum(mask, dtype=jnp.float32)
    mean = jnp.sum(jnp.where(mask, y, 0.0), axis=(0, 1, 2)) / count
    deviation = jnp.where(mask, y - mean.reshape(1, 1, 1, -1), 0.0)
    var = jnp.sum(jnp.square(deviation), axis=(0, 1, 2)) / count
    return {"mean": mean, "var": var, "count": count}


def _combine(measured):
    """Statistics over all tiles from those of each (Chan et al. 1979)."""
    measured = jax.device_get(measured)
    combined = {}
    for name in measured[0]:
        counts = np.array([m[name]["count"] for m in measured], np.float64)[:, None]
        means = np.array([m[name]["mean"] for m in measured], np.float64)
        variances = np.array([m[name]["var"] for m in measured], np.float64)
        mean = np.sum(counts * means, axis=0) / counts.sum()
        spread = variances + np.square(means - mean)
        var = np.sum(counts * spread, axis=0) / counts.sum()
        # The inputs of later norms are not exact yet.
        combined[name] = {
            "mean": np.nan_to_num(mean, posinf=0.0, neginf=0.0).astype(np.float32),
            "var": np.nan_to_num(var, nan=1.0, posinf=1.0).astype(np.float32),
        }
    return combined
