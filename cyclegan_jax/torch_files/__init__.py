"""Files of weights as PyTorch users have them, read and written without PyTorch.

`read` never executes what a file says, checks every bound, and gives read-only arrays.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files import reading, writing
from cyclegan_jax.torch_files.tensors import SAFETENSORS_DTYPES, BadFile, Other


def read(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Reads a table of tensors (a `state_dict`) by name.

    Args:
      path: see `read_all`.

    Returns:
      Read-only arrays by name, in the types of the file.

    Raises:
      UserError: the file is missing, damaged, or holds anything else than tensors.
    """
    table = {}
    for keys, value in read_all(path).items():
        if len(keys) > 1 or not isinstance(value, np.ndarray):
            what = value.what if isinstance(value, Other) else "no tensor"
            raise UserError(
                f"{path} is not a file of weights: its entry {keys[0][:80]!r} is"
                f" {what}; save the network's state_dict() alone, of ordinary tensors."
            )
        table[keys[0]] = value
    return table


def read_all(path: epath.PathLike) -> dict[tuple[str, ...], Any]:
    """Reads whatever is in a file, however deep.

    Args:
      path: what `torch.save` wrote, in the zip format or the one before PyTorch 1.6, or
        `.safetensors`; the content decides, not the name.

    Returns:
      What is there, by the keys that lead to it and in the file's order: read-only
      arrays for tensors, in the types of the file, and other values.

    Raises:
      UserError: the file is missing, damaged, or holds no tensors by name.
    """
    path = files.as_path(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
        leaves = _reader(path, start)(path)
        if () in leaves or not leaves:
            raise BadFile("it does not hold tensors by name (a state_dict)")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
    except BadFile as error:
        raise UserError(f"{path} is not a file of weights: {error}.") from error
    for value in leaves.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return leaves


# What people have instead of weights, by how it begins.
_NO_WEIGHTS = {
    b"version https://git-lfs": "it only points to a file of Git LFS: run git lfs pull",
    b"<!doctype": "it is a web page, not what was to be downloaded",
    b"<html": "it is a web page, not what was to be downloaded",
    b"\x1f\x8b": "it is compressed or an archive: unpack it",
    b"\x93numpy": "it is an array of NumPy, without names",
    b"\x89hdf": "it is an HDF5 file, such as Keras's; only PyTorch's are read",
    b"\x80": "it is a plain pickle: load it in Python, and use torch.save",
    b"{": "it is JSON, such as a list of files: name one of those that it lists",
    b"\x08": "it may be an ONNX model: save the state_dict() of the PyTorch model",
}


def _reader(path, start):
    if start.startswith(b"PK\x03\x04"):
        return reading.read_zip
    if reading.is_legacy(start):
        return reading.read_legacy
    if start[8:9] == b"{":
        return _read_safetensors
    for beginning, what in _NO_WEIGHTS.items():
        if start.lstrip().lower().startswith(beginning):
            raise BadFile(what)
    if not start:
        raise BadFile("it is empty")
    if start[257:262] == b"ustar":
        raise BadFile("it is an archive: unpack it")
    raise BadFile("it starts like neither a .pth nor a .safetensors file")


def _read_safetensors(path):
    table = {}
    try:
        entries = safetensors.deserialize(path.read_bytes())
        for name, entry in sorted(entries, key=lambda pair: pair[0]):  # Unordered.
            if entry["dtype"] not in SAFETENSORS_DTYPES:
                table[name,] = Other(f"a tensor of {entry['dtype']}")
                continue
            dtype = SAFETENSORS_DTYPES[entry["dtype"]]
            table[name,] = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        raise BadFile(f"it is damaged ({str(error)[:120]})") from error
    return table


def write(path: epath.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a `.pth` file that `torch.load` reads, atomically.

    Args:
      path: where to; the folder exists.
      tensors: arrays by name.

    Raises:
      UserError: the file cannot be written.
    """
    path = files.as_path(path)
    try:
        files.write(path, writing.to_bytes(tensors))
    except OSError as error:
        raise UserError(
            f"{os.fspath(path)} cannot be written ({error.strerror or error})."
        ) from error
