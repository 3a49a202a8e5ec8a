"""Files of measured values, read exactly as stored: `.npy`, `.npz`, TIFF and PNG.

Nothing is converted: not the type of the values, nor colours, nor the orientation. What
`images.Pixels` does not allow is refused. Axes of size 1 are left out, and [H, W]
becomes [H, W, 1].
"""

import importlib
import io
import zipfile
from typing import IO, Any

import numpy as np
from PIL import Image

from cyclegan_jax.data import formats
from cyclegan_jax.errors import UserError
from cyclegan_jax.images import Pixels

MAX_VALUES = 2**28
"""Values in the largest array that is read."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B")  # Pillow's, without loss.


class NotAnImage(UserError, ValueError):
    """An array that is not one image, for the reason in its text."""


class MissingPackage(UserError):
    """A package that some files need and that is not installed."""


def library(name: str) -> Any:
    """Imports tifffile or imagecodecs, which only measured values need.

    Raises:
      MissingPackage: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackage(
            f"TIFF and PNG files of measured values need the package {name}:"
            " pip install tifffile imagecodecs (.npy and .npz need none)"
        ) from None


def is_numpy(data: bytes) -> bool:
    """Whether these bytes begin a `.npy` file or a zip file, such as `.npz`."""
    return data[:6] == b"\x93NUMPY" or data[:4] in (b"PK\3\4", b"PK\5\6")


def spread(data: bytes) -> int:
    """Returns by what decoders multiply the values of a file, to fill 0 to 255.

    That is 1 but for grey PNGs of 1, 2 or 4 bits, as programs that shrink PNGs write.
    """
    few = data[:8] == _PNG and data[25] == 0 and data[24] < 8
    return 255 // (2 ** data[24] - 1) if few else 1


def read_numpy(data: bytes) -> np.ndarray:
    """Reads the one array of a `.npy` or `.npz` file.

    Returns:
      [H, W, C] or [N, H, W, C] as stored, without axes of size 1 in front.

    Raises:
      NotAnImage: it holds more than one array, or one that is no image.
      ValueError, OSError, EOFError, zipfile.BadZipFile: it is damaged.
    """
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entry = _only_entry(archive)
            if entry.file_size > 8 * MAX_VALUES:
                raise NotAnImage(f"it unpacks to {entry.file_size} bytes")
            data = archive.read(entry)
    shape, dtype = _header(io.BytesIO(data))
    if np.prod(shape, dtype=float) * dtype.itemsize > len(data):
        raise ValueError(f"it ends before {list(shape)} values of {dtype}")
    return _image_axes(np.load(io.BytesIO(data), allow_pickle=False))


def _only_entry(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    entries = archive.infolist()
    if len(entries) != 1:
        names = ", ".join(entry.filename for entry in entries[:4]) or "nothing"
        raise NotAnImage(f"it must hold one array, and holds {names}")
    return entries[0]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and type that a `.npy` file begins with."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or np.prod(shape, dtype=float) > MAX_VALUES:
        raise NotAnImage(f"it is an array {list(shape)} of {dtype}")
    return shape, dtype


def _numpy_shape(stream: IO[bytes]) -> tuple[int, ...]:
    """The shape of the array of a `.npy` or `.npz` file, without reading it."""
    if stream.read(2) != b"PK":
        stream.seek(0)
        return _header(stream)[0]
    with zipfile.ZipFile(stream) as archive, archive.open(_only_entry(archive)) as file:
        return _header(file)[0]


def _image_axes(array: np.ndarray) -> np.ndarray:
    stored = array
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim not in (3, 4):
        raise NotAnImage(
            f"it is an array {list(stored.shape)}, not [height, width] or [height,"
            " width, channels]"
        )
    return array


def read_pages(data: bytes, pixels: Pixels) -> np.ndarray:
    """Reads all images of a file.

    Pages of one channel each that are together as many as `pixels.channels` are the
    channels of one image.

    Args:
      data: the content of the file.
      pixels: what it must be.

    Returns:
      [N, H, W, C] as stored, of `pixels.dtype`; floats of 64 or 16 bits as float32.

    Raises:
      NotAnImage: it is not what `pixels` describes.
      Exception: whatever decoders raise on damaged files.
    """
    array = _read(data, pixels.channels)
    if array.ndim == 3:
        array = array[None]
    if problem := pixels.problem(array):
        hint = f" (in each of {len(array)} pages)" if len(array) > 1 else ""
        if array.shape[1] == pixels.channels != array.shape[-1]:
            hint = " (channels come last: numpy.moveaxis(array, 0, -1))"
        raise NotAnImage(problem + hint)
    # In the byte order of this machine, which is what arrays are compared by.
    return array.astype(pixels.memory_dtype, copy=False)


def count_pages(stream: IO[bytes], channels: int) -> int:
    """Counts the images in a file, from its headers where they suffice.

    Args:
      stream: the file, opened at its start.
      channels: of an image.

    Returns:
      The number; 1 for files that are empty or cannot be read: decoding says why.
    """
    head = stream.read(8)
    stream.seek(0)
    try:
        if head[:4] in _TIFF:
            tifffile = library("tifffile")

            with tifffile.TiffFile(stream) as file:
                series = file.series[0]
                blank = np.broadcast_to(np.uint8(0), series.shape)
                return len(_with_axes(blank, series.axes, channels))
        if is_numpy(head):
            array = _image_axes(np.broadcast_to(np.uint8(0), _numpy_shape(stream)))
            return max(len(array), 1) if array.ndim == 4 else 1
    except Exception:  # Decoders raise anything on damaged files.
        return 1
    return 1


def _read(data, channels):
    """[H, W, C] or [N, H, W, C] of any type."""
    if is_numpy(data):
        return read_numpy(data)
    if data[:4] in _TIFF:
        return _read_tiff(data, channels)
    if data[:8] == _PNG:
        imagecodecs = library("imagecodecs")
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image.height, image.width, 4)
            if image.mode == "P" or getattr(image, "is_animated", False):
                raise NotAnImage("it is an animation or has a palette of colours")
        array = imagecodecs.png_decode(data) // spread(data)
        return array[..., None] if array.ndim == 2 else array
    with Image.open(io.BytesIO(data), formats=formats.FORMATS) as image:
        _check_size(image.height, image.width, 4)
        if image.mode not in _MODES or getattr(image, "n_frames", 1) > 1:
            raise NotAnImage(
                f"a {image.format} file of mode {image.mode} is not read as measured"
                " values: save it as .npy, TIFF or PNG"
            )
        array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def _read_tiff(data, channels):
    tifffile = library("tifffile")

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series = file.series[0]
        _check_size(*series.shape)
        if len(file.series) > 1:
            shapes = ", ".join(str(list(s.shape)) for s in file.series[:4])
            raise NotAnImage(f"its pages differ ({shapes}): split it")
        array, axes = series.asarray(), series.axes
    return _with_axes(array, axes, channels)


def _with_axes(array: np.ndarray, axes: str, channels: int) -> np.ndarray:
    """Orders the axes of a TIFF: pages, Y, X, and S (samples) or C (channels)."""
    kept = [
        i
        for i, (axis, n) in enumerate(zip(axes, array.shape, strict=True))
        if axis in "YX" or n > 1
    ]
    axes = "".join(axes[i] for i in kept)
    array = array.reshape([array.shape[i] for i in kept])
    samples = next((axis for axis in "SC" if axes.count(axis) == 1), "")
    pages = [i for i, axis in enumerate(axes) if axis not in ("Y", "X", samples)]
    order = [*pages, axes.index("Y"), axes.index("X")]
    order += [axes.index(samples)] if samples else []
    array = array.transpose(order)
    height, width = (array.shape[len(pages) + i] for i in range(2))
    array = array.reshape(-1, height, width, array.shape[-1] if samples else 1)
    if not samples and channels > 1 and len(array) == channels:
        array = np.moveaxis(array[..., 0], 0, -1)[None]
    return array


def _check_size(*shape: int) -> None:
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise NotAnImage(
            f"it has {'x'.join(map(str, shape))} values; at most {MAX_VALUES} are read"
        )
