"""Reads tables of tensors as `torch.save` has written them since 2017."""

import functools
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath

from cyclegan_jax.torch_files import unpickling
from cyclegan_jax.torch_files.calls import Global, Record
from cyclegan_jax.torch_files.tensors import (
    DTYPES,
    BadFile,
    Computed,
    Storage,
    Tensor,
    Unbuilt,
    built,
)

_DEEPEST = 64  # Containers in containers.
_MOST_MADE = 2**28  # Numbers of tensors that have more of them than the file.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # The same, pickled.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    struct.error,
    zlib.error,
    OverflowError,
)


def read_zip(path: epath.Path) -> dict[tuple[str, ...], Any]:
    """Reads the format of PyTorch 1.6 and later.

    Returns:
      What was saved, by where it is: arrays (read-only) for tensors, and other values.

    Raises:
      BadFile: it is damaged or wants something executed.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _read_archive(archive, path.stat().length)
    except _ZIP_ERRORS as error:
        raise BadFile("the archive is damaged or cut off") from error


def _read_archive(archive, file_size):
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise BadFile("the archive has two entries with one name")
    if any(name.endswith("/constants.pkl") and "/" in name for name in entries):
        raise BadFile("it is a TorchScript program: save the state_dict() of its model")
    sizes = 0
    for name, entry in entries.items():
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BadFile(f"the archive has an entry with the odd name {name[:80]!r}")
        sizes += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or sizes > file_size:
            raise BadFile("the archive is compressed, which PyTorch's are not")
    tops = [
        name.removesuffix("data.pkl")
        for name in entries
        if name.endswith("/data.pkl") and name.count("/") == 1
    ]
    if not tops and all(name.endswith(".npy") for name in entries):
        raise BadFile(
            "it holds NumPy's arrays alone (.npz): in PyTorch, load them into the model"
            " and save its state_dict()"
        )
    if len(tops) != 1:
        raise BadFile("it is a zip archive, but not one of PyTorch's: unpack it")
    top = tops[0]
    order = "<"
    if f"{top}byteorder" in entries and archive.read(f"{top}byteorder") == b"big":
        order = ">"

    @functools.cache  # Many tensors may share them.
    def content(key):
        entry = entries.get(f"{top}data/{key}")
        return b"" if entry is None else archive.read(entry)

    def numbers(storage):
        data = content(storage.key)
        if len(data) < storage.count * storage.dtype.itemsize:
            raise BadFile("numbers of a tensor are missing")
        return np.frombuffer(data, _ordered(storage.dtype, order), storage.count)

    pickled = io.BytesIO(archive.read(f"{top}data.pkl"))
    return _resolve(unpickling.load(pickled, _storage), numbers)


def _ordered(dtype, order):
    """Bytes have no order, and some types of one byte refuse to be given one."""
    return dtype if dtype.itemsize == 1 else dtype.newbyteorder(order)


def is_legacy(start: bytes) -> bool:
    """Whether a file that starts like this is in the format before PyTorch 1.6."""
    return start.startswith(b"\x80") and _LEGACY_START in start


def read_legacy(path: epath.Path) -> dict[tuple[str, ...], Any]:
    """Reads the format before PyTorch 1.6: pickles, then the numbers of each storage.

    Returns:
      What was saved, by where it is: arrays (read-only) for tensors, and other values.

    Raises:
      BadFile: it is damaged or wants something executed.
    """
    data = path.read_bytes()
    stream = io.BytesIO(data)
    if unpickling.load(stream) != _LEGACY_MAGIC or unpickling.load(stream) != 1001:
        raise BadFile("it is of a version of PyTorch's format that is not known")
    system = unpickling.load(stream)
    little = type(system) is dict and system.get("little_endian") is True
    used: dict[str, Storage] = {}

    def storage(reference):
        if reference[:1] == ("module",):  # A class, with its source, of a whole model.
            return reference[1]
        found = _storage(reference, with_views=True)
        used.setdefault(found.key, found)
        return found

    value = unpickling.load(stream, storage)
    keys = unpickling.load(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise BadFile("its list of numbers is damaged")
    where, at = {}, stream.tell()
    for key in keys:
        if key not in used:
            raise BadFile("it has numbers that belong to no tensor")
        dtype = used[key].dtype
        assert dtype is not None  # `_storage` refuses such files.
        count = int.from_bytes(data[at : at + 8], "little" if little else "big")
        at += 8
        if at + count * dtype.itemsize > len(data):
            raise BadFile("it is cut off")
        dtype = _ordered(dtype, "<" if little else ">")
        where[key] = np.frombuffer(data, dtype, count, at)
        at += count * dtype.itemsize

    def numbers(storage):
        found = where.get(storage.key)
        last = storage.first + storage.count
        if found is None or found.dtype.kind != storage.dtype.kind or last > len(found):
            raise BadFile("numbers of a tensor are missing")
        return found[storage.first : last]

    return _resolve(value, numbers)


def _storage(reference: tuple, *, with_views: bool = False) -> Storage:
    """Makes a storage from ("storage", type, key, device, count[, view])."""
    kind, storage_type, key, _, count, *view = reference
    dtype = DTYPES.get(getattr(storage_type, "name", "").rpartition(".")[2])
    if (
        kind != "storage"
        or type(storage_type) is not Global
        or type(key) is not str
        or type(count) is not int
        or count < 0
    ):
        raise BadFile("a tensor's description is damaged")
    if dtype is None and (with_views or not storage_type.name.startswith("torch.")):
        raise BadFile(f"it has numbers of the type {storage_type.name[:80]}")
    first = 0
    if with_views and view and view[0] is not None:
        _, first, count = view[0]
        if not all(type(n) is int and n >= 0 for n in (first, count)):
            raise BadFile("a tensor's description is damaged")
    return Storage(key, dtype, count, first, storage_type.name)


def _resolve(
    value: Any, numbers: Callable[[Storage], np.ndarray]
) -> dict[tuple[str, ...], Any]:
    """Lists what a file holds by where it is, with arrays in place of the tensors."""
    loaded: dict[Storage, np.ndarray] = {}
    leaves: dict[tuple[str, ...], Any] = {}
    _add_leaves(value, (), leaves, set())

    def view(tensor):
        if tensor.storage not in loaded:
            loaded[tensor.storage] = numbers(tensor.storage)
        return tensor.view(loaded[tensor.storage])

    made = 0
    for path, leaf in leaves.items():
        if type(leaf) is Tensor:
            count = math.prod(leaf.shape)
            made += count if count > leaf.storage.count else 0
        elif type(leaf) is Computed:
            made += leaf.count
        if made > _MOST_MADE:
            raise BadFile("its tensors have many more numbers than the file")
        if type(leaf) is Tensor:
            leaves[path] = view(leaf)
        elif type(leaf) is Computed:
            leaves[path] = _computed(leaf, view)
    return leaves


def _computed(tensor, view):
    try:
        return tensor.compute(*map(view, tensor.parts))
    except (ValueError, IndexError, TypeError) as error:
        raise BadFile("a tensor's description is damaged") from error


def _add_leaves(value, path, leaves, seen):
    """Each container once: a few bytes can hold one in itself, or in two others."""
    value = built(value)
    if isinstance(value, Record):
        state = value.state if type(value.state) is dict else {}
        children = [*value.items.items(), *state.items()]
    elif isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list | tuple):  # Numbers in it, of losses say, do not count.
        kinds = (dict, list, tuple, Record, Tensor, Computed, Unbuilt)
        children = [(i, x) for i, x in enumerate(value) if isinstance(x, kinds)]
    else:
        leaves[path] = value
        return
    if id(value) in seen or len(path) > _DEEPEST:
        return
    seen.add(id(value))
    for key, child in children:
        _add_leaves(child, (*path, _text(key)), leaves, seen)


def _text(key):
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
