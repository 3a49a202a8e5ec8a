"""Writes measured values, and other images as arrays, without loss."""

import io
from typing import Any

import numpy as np

from cyclegan_jax.data.arrays import library
from cyclegan_jax.images import Pixels

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz")
"""The files that measured values are written to."""

_PACKAGES = {".png": "imagecodecs", ".tif": "tifffile", ".tiff": "tifffile"}


def can_write(pixels: Pixels, suffix: str) -> bool:
    """Whether values of this kind can be written to files of this extension."""
    if suffix == ".png":
        return pixels.dtype in ("uint8", "uint16") and pixels.channels <= 4
    return suffix in SUFFIXES


def check_package(suffix: str) -> None:
    """Raises a `UserError` where what writes such files is not installed."""
    if suffix in _PACKAGES:
        library(_PACKAGES[suffix])


def suffixes(pixels: Pixels) -> list[str]:
    """The extensions, without dot, of the files that can hold values of this kind."""
    return [suffix[1:] for suffix in SUFFIXES if can_write(pixels, suffix)]


def write(array: np.ndarray, suffix: str) -> bytes:
    """Encodes measured values, without loss.

    Args:
      array: [H, W, C], or several of one size [N, H, W, C], of a type in
        `images.DTYPES`.
      suffix: one of `SUFFIXES`; `can_write` says what each can hold.
    """
    several = array.ndim == 4
    # Arrays of three axes are read as [H, W, C].
    keeps_axis = array.shape[-1] > 1 or (several and suffix in (".npy", ".npz"))
    plain = array if keeps_axis else array[..., 0]
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, plain, allow_pickle=False)
    elif suffix == ".npz":
        np.savez_compressed(buffer, plain)
    elif suffix == ".png":
        imagecodecs = library(_PACKAGES[suffix])
        return bytes(imagecodecs.png_encode(np.ascontiguousarray(plain)))
    else:
        tifffile = library(_PACKAGES[suffix])
        colour = array.shape[-1] in (3, 4) and array.dtype.kind == "u"
        options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack"}
        if array.shape[-1] > 1:
            options["planarconfig"] = "contig"
        if array.shape[-1] == 4 and colour:
            options["extrasamples"] = ["unspecified"]
        tifffile.imwrite(
            buffer,
            plain,
            compression="zlib",
            metadata=None if not several else {"axes": _axes(array)},
            **options,
        )
    return buffer.getvalue()


def _axes(array):
    return "QYX" if array.shape[-1] == 1 else "QYXS"
