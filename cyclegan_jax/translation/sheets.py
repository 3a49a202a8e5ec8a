"""Sheets that show inputs beside their outputs."""

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import files, images

ROWS = 8
"""Pictures in a sheet."""

_THUMBNAIL = 256  # Pixels: side of a picture in a sheet.


def path(folder: epath.Path, number: int) -> epath.Path:
    """Returns where sheet `number`, counted from 0, is written."""
    return folder / f"sheet_{number:03d}.png"


class Sheets:
    """Collects images and writes them side by side, a few per sheet."""

    def __init__(self, folder: epath.Path, number: int):
        """Says where the sheets go, and the number of the first."""
        self._folder, self._number = folder, number
        self._rows: list[list[np.ndarray]] = []

    def add(self, *pictures: np.ndarray | None) -> None:
        """Adds a row: uint8 [H, W, C] each, None for those that there are not."""
        self._rows.append([_thumbnail(p) for p in pictures if p is not None])
        if len(self._rows) == ROWS:
            self.close()

    def close(self) -> None:
        """Writes what has been collected."""
        if not self._rows:
            return
        titles = ("input", "output", "cycle")
        columns = [np.stack(column) for column in zip(*self._rows, strict=True)]
        sheet = images.sample_grid(dict(zip(titles, columns, strict=False)))
        target = path(self._folder, self._number)
        with files.folders_above(target):
            files.save_png(target, sheet)
        self._rows, self._number = [], self._number + 1


def _thumbnail(pixels):
    """Fits [H, W, C] into a square, on grey."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.convert("RGB")
    scale = _THUMBNAIL / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    square = Image.new("RGB", (_THUMBNAIL, _THUMBNAIL), (200, 200, 200))
    left, top = ((_THUMBNAIL - side) // 2 for side in size)
    square.paste(image.resize(size, Image.Resampling.BICUBIC), (left, top))
    return np.asarray(square)
