"""Images with random access by index, and folders of them.

Names appear in messages, reports and output files. They are relative to the data set's
root, use forward slashes, and start with the split's folder:
``trainA/n02381460_2.jpg``.
"""

import functools
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
from etils import epath

from cyclegan_jax.data import arrays, decode
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.formats import FORMAT_TEXT, LeftOut, printable
from cyclegan_jax.data.listing import list_images
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path, seen_from_here


@runtime_checkable
class ImageSource(Protocol):
    """Images with random access."""

    @property
    def names(self) -> Sequence[str]:
        """One name an image."""

    def __len__(self) -> int:
        """The number of images."""

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index` as stored: uint8 [H, W, C]."""

    def content(self, index: int) -> bytes:
        """The content of image `index`, undecoded; used to detect changes."""


class EncodedSource:
    """Images that are read and decoded on every access.

    Attributes:
      names: one name per image.
      decoder: how they are decoded.
      left_out: files beside the images that are not used, by reason.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[int], bytes | os.PathLike],
        *,
        decoder: Decoder,
        where: str,
        left_out: LeftOut | None = None,
    ):
        """Wraps a function that returns image i's encoded bytes or its path.

        Args:
          names: one name per image.
          read: called with an index, from any thread.
          decoder: how they are decoded.
          where: the folder or archive, for error messages.
          left_out: files beside the images that are not used, by reason.
        """
        self.names = tuple(names)
        self._read, self._where = read, where
        self.decoder, self.left_out = decoder, left_out or LeftOut()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.decoder(self._read(index), self._name(index))

    def pages(self, index: int) -> np.ndarray:
        """All images [N, H, W, C] of a file of measured values."""
        return decode.measured_pages(
            self._read(index), self.decoder.pixels, self._name(index)
        )

    def count_pages(self, index: int) -> int:
        """The number of images in a file of measured values."""
        encoded, channels = self._read(index), self.decoder.pixels.channels
        if isinstance(encoded, bytes):
            return arrays.count_pages(io.BytesIO(encoded), channels)
        with as_path(encoded).open("rb") as stream:
            return arrays.count_pages(stream, channels)

    def content(self, index: int) -> bytes:
        """The encoded image."""
        encoded = self._read(index)
        if isinstance(encoded, bytes):
            return encoded
        return decode.read_file(encoded, self._name(index))

    def _name(self, index):
        return printable(f"{self.names[index]} in {self._where}")


class PagesSource(EncodedSource):
    """Every page of files of measured values as an image: ``trainA/stack/0001.tif``."""

    def __init__(self, source: EncodedSource, counts: Sequence[int]):
        """Takes the files, and the number of images in each."""
        self.decoder, self.left_out = source.decoder, source.left_out
        self._places = [(i, page) for i, n in enumerate(counts) for page in range(n)]
        self.names = tuple(
            _page_name(source.names[i], page) if counts[i] > 1 else source.names[i]
            for i, page in self._places
        )
        # Neighbours are mostly read one after the other.
        self._pages = functools.lru_cache(maxsize=2)(source.pages)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:
        file, page = self._places[index]
        return self._pages(file)[page].copy()

    def content(self, index: int) -> bytes:
        """The values of the page."""
        page = self[index]
        return f"{page.dtype} {page.shape} ".encode() + page.tobytes()


def with_pages(source: EncodedSource) -> EncodedSource:
    """Makes every page of files with several an image; only of measured values."""
    if not source.decoder.pixels.measured:
        return source
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(source.count_pages, range(len(source))))
    return source if set(counts) <= {1} else PagesSource(source, counts)


def _page_name(name: str, page: int) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}/{page + 1:04d}{suffix}"


class SubsetSource:
    """The images of `source` at `indices`, in that order."""

    def __init__(self, source: ImageSource, indices: Sequence[int]):
        self.names = tuple(source.names[i] for i in indices)
        self._source, self._indices = source, tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._source[self._indices[index]]

    def content(self, index: int) -> bytes:
        """The content of the selected image."""
        return self._source.content(self._indices[index])


class MappedSource:
    """The images of `source`, each passed through `function`."""

    def __init__(
        self, source: ImageSource, function: Callable[[np.ndarray], np.ndarray]
    ):
        self.names, self._source, self._function = source.names, source, function

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._function(self._source[index])

    def content(self, index: int) -> bytes:
        """The content of the image before `function`."""
        return self._source.content(index)


def as_channels(source: ImageSource, channels: int) -> ImageSource:
    """Converts colour images to 1, 3 or 4 channels."""
    if channels == 3:
        return source
    return MappedSource(source, lambda image: decode.convert_channels(image, channels))


def folder_source(
    folder: epath.PathLike,
    *,
    decoder: Decoder = Decoder(),  # noqa: B008 (it is frozen)
    root: epath.PathLike | None = None,
) -> EncodedSource:
    """All images under a folder, recursively, sorted by path (links are followed).

    Args:
      folder: a local folder or a gs:// one.
      decoder: how they are decoded.
      root: the folder that names are relative to; by default `folder`'s parent.

    Raises:
      UserError: there is no such folder, or no image in it.
    """
    folder = as_path(folder)
    root = as_path(root) if root else folder.parent
    if not folder.is_dir():
        raise UserError(f"there is no folder {seen_from_here(folder)}")
    prefix = f"{folder.relative_to(root).as_posix()}/"
    names, left_out = list_images(folder, prefix)
    if not names:
        others = f"; in it are {left_out.describe()}" if left_out else ""
        raise UserError(
            f"folder {folder} holds no image (looked for {FORMAT_TEXT}){others}"
        )
    return with_pages(
        EncodedSource(
            names,
            lambda i: root / names[i],
            decoder=decoder,
            where=str(root),
            left_out=left_out,
        )
    )
