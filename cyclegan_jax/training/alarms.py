"""What looks wrong while a run trains, with pictures: for the top of its page."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.metrics import appearance, pictures
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.training.samples import titles


class Alarm(NamedTuple):
    """Something that looks wrong.

    Attributes:
      direction: AtoB or BtoA.
      text: a sentence.
      columns: of the picture: title -> uint8 [N, H, W, C].
    """

    direction: str
    text: str
    columns: dict[str, np.ndarray]


def of_samples(columns: Mapping[str, np.ndarray]) -> Iterator[Alarm]:
    """Yields directions whose translations invert light and dark.

    Args:
      columns: of a sample grid; see `samples.columns`.
    """
    for direction in DIRECTIONS:
        if not all(title in columns for title in titles(direction)):
            continue
        shown = {title: columns[title] for title in titles(direction)}
        small = (pictures.thumbnails(x) for x in shown.values())
        correlation = pictures.luminance_correlation(*small)
        for text in appearance.inversion(direction, correlation):
            yield Alarm(direction, text, shown)


def of_scores(
    warnings: Mapping[str, list[str]], first: Mapping[str, Batch], count: int
) -> Iterator[Alarm]:
    """Yields what an evaluation warns of: inversion, collapse, lost structure.

    Args:
      warnings: direction -> sentences.
      first: direction -> images that were evaluated.
      count: of images in the picture, at most.
    """
    for direction, batch in first.items():  # A split may have no test images.
        both = (batch.real[:count], batch.fake[:count])
        for text in warnings.get(direction, ()):
            yield Alarm(
                direction, text, dict(zip(titles(direction), both, strict=True))
            )
