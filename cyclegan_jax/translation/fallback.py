"""A translator that falls back to tiles if an image does not fit into memory."""

import jax
import numpy as np

from cyclegan_jax.errors import UserError, is_out_of_memory
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation.translator import Size, Translator

_TILES = (4096, 2048, 1024, 512)  # Pixels: fewer tiles overlap less.


class TooLarge(UserError):
    """An image that does not fit into memory, not even in tiles."""


class FallbackTranslator:
    """Translates images whole if they fit into memory, otherwise in tiles.

    Attributes:
      translator: the one for what fits.
      in_tiles: number of images that had to be translated in tiles.
    """

    def __init__(
        self, run: Run, direction: str, *, size: Size = "keep", tile_size: int = 512
    ):
        """Prepares a generator; see `Translator`."""
        self.translator = Translator(run, direction, size=size, tile_size=tile_size)
        self.in_tiles = 0
        self._run, self._direction = run, direction
        self._tiled: dict[int, Translator] = {}

    def use(self, run: Run) -> None:
        """Swaps in the networks of the run at another step; nothing is recompiled."""
        if run is not self._run:
            self._run = run
            for translator in (self.translator, *self._tiled.values()):
                translator.use(run.variables)

    def __call__(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """Translates pictures; see `Translator`.

        Raises:
          TooLarge: one does not fit into memory.
        """
        try:
            return self.translator(pictures)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if len(pictures) > 1:
            return [self([picture])[0] for picture in pictures]
        return [self._translate_in_tiles(pictures[0])]

    def _translate_in_tiles(self, picture):
        height, width = picture.shape[:2]
        for side in _TILES:
            if side >= max(height, width):
                continue
            try:
                if side not in self._tiled:
                    self._tiled[side] = Translator(
                        self._run, self._direction, size="tile", tile_size=side
                    )
                result = self._tiled[side](picture)
            except UserError as error:
                raise TooLarge(f"out of memory, and {error}") from error
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                continue
            self.in_tiles += 1
            return result
        raise TooLarge(f"out of memory with {width}x{height} pixels, in tiles, too")
