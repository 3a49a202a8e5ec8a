"""Preprocessed images kept in memory, and loading in threads."""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from absl import logging

from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.machine import memory
from cyclegan_jax.progress import Progress

T = TypeVar("T")

_SHARE = 2  # At most 1/_SHARE of the free memory: networks need the rest.


def budget(cache_gib: float) -> tuple[int, str]:
    """Returns the size of the cache in bytes, and why it is less than requested.

    Args:
      cache_gib: the maximum, in GiB.

    Returns:
      The bytes, and what limits them; "" if that is `cache_gib`.
    """
    asked = int(cache_gib * 2**30)
    left = memory.available()
    if asked <= left.bytes / _SHARE:
        return asked, ""
    return int(left.bytes / _SHARE), (
        f"{left.limit} leaves {left.bytes / 2**30:.2f} GiB, half of which is used"
        f" instead of config.data.cache_gib={cache_gib:g}"
    )


class CachedSource:
    """Images after the deterministic part of preprocessing, in memory if they fit.

    Images are kept until `cache_bytes` are used; the rest are loaded on every access.

    Attributes:
      names: the names of `source`.
      cached_bytes: memory used by the cached images.
    """

    _keeping = threading.Lock()  # One for all, since a lock cannot be copied.

    def __init__(
        self,
        source: ImageSource,
        load: Callable[[np.ndarray, str], np.ndarray],
        *,
        cache_bytes: int,
        fill: bool = True,
        num_threads: int | None = None,
        quiet: bool = False,
    ):
        """Fills the cache, or leaves that to the first accesses.

        Args:
          source: uint8 images.
          load: the transform, given an image and its name (`Preprocess.load`).
          cache_bytes: the maximum memory to use; 0 disables the cache.
          fill: load images now, and not when they are first used.
          num_threads: decoding threads; by default one per core.
          quiet: show no progress bar.

        Raises:
          UserError: an image is damaged or rejected by `load`.
        """
        self.names = source.names
        self.cached_bytes = 0
        self._source, self._load, self._cache_bytes = source, load, cache_bytes
        self._images: dict[int, np.ndarray] = {}
        if not fill:
            return
        if cache_bytes > 0:
            self._fill(num_threads or os.cpu_count() or 1, quiet)
        logging.info(
            "%s: %d of %d images in memory (%.2f GiB)",
            _common_folder(self.names),
            len(self._images),
            len(self),
            self.cached_bytes / 2**30,
        )

    @property
    def cached(self) -> int:
        """The number of cached images."""
        return len(self._images)

    def __len__(self) -> int:
        return len(self._source)

    def content(self, index: int) -> bytes:
        """The encoded bytes of the image as stored."""
        return self._source.content(index)

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[index]
        image = self._images.get(index)
        if image is None:
            image = self._read(index)
            self._keep(index, image)
        return image

    def _read(self, index: int) -> np.ndarray:
        return self._load(self._source[index], self.names[index])

    def _keep(self, index: int, image: np.ndarray) -> bool:
        """Keeps an image if there is room for it; returns whether it is kept."""
        with self._keeping:
            size = self.cached_bytes + image.nbytes
            if index not in self._images and size <= self._cache_bytes:
                # Crops are views of these images, which must not be modified.
                image.setflags(write=False)
                self._images[index] = image
                self.cached_bytes = size
            return index in self._images

    def _fill(self, num_threads: int, quiet: bool) -> None:
        loaded = map_in_order(self._read, len(self), num_threads)
        title = f"loading {_common_folder(self.names)}"
        with Progress(
            total=len(self), desc=title, unit=" images", disable=quiet
        ) as bar:
            for index, image in enumerate(loaded):
                if not self._keep(index, image):
                    break
                bar.update()
        loaded.close()
        self._cache_bytes = self.cached_bytes  # The rest is for other sources.


def map_in_order(
    function: Callable[[int], T], count: int, num_threads: int
) -> Generator[T, None, None]:
    """Yields function(0), ..., function(count - 1), computed a few ahead in threads."""
    indices = iter(range(count))
    with ThreadPoolExecutor(num_threads) as pool:
        first = itertools.islice(indices, 2 * num_threads)
        running = deque(pool.submit(function, i) for i in first)
        try:
            while running:
                result = running.popleft().result()
                if (i := next(indices, None)) is not None:
                    running.append(pool.submit(function, i))
                yield result
        finally:
            for future in running:
                future.cancel()


def _common_folder(names: Sequence[str]) -> str:
    """Names a set of images in messages: the folder of the first."""
    return (os.path.dirname(names[0]) if names else "") or "images"
