"""Integrity checks for checkpoints, and their error messages."""

import errno
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from cyclegan_jax.errors import UserError

# What Orbax and TensorStore raise on files with holes or flipped bits.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError)
# The storage's fault and not the files': they may be sound.
_UNREACHABLE = (
    *("UNAVAILABLE", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "ABORTED"),
    *("RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "CANCELLED"),
)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


class DamagedCheckpoint(UserError):
    """A checkpoint that cannot be read, or holds other bits than were saved."""


def broken_scores(folder: epath.Path) -> list[epath.Path]:
    """Lists the files of scores that hold none, which Orbax would stumble over."""
    found = []
    for file in sorted(folder.glob("*/metrics/metrics")):
        try:
            float(json.loads(file.read_text())["score"])
        except FileNotFoundError:  # Deleted just now.
            continue
        except (ValueError, LookupError, TypeError, RecursionError):
            found.append(file)
    return found


def cannot_read(path: epath.Path, error: Exception) -> UserError:
    """Returns what to raise about a checkpoint that cannot be read.

    Args:
      path: of the checkpoint.
      error: one of `UNREADABLE`.

    Returns:
      A DamagedCheckpoint, unless it was the storage that failed.
    """
    try:  # Orbax keeps to itself why it has no description.
        (path / "_CHECKPOINT_METADATA").read_bytes()
    except OSError as first:
        error = first if _is_unreachable(first) else error
    found = next(filter(_is_unreachable, _causes(error)), None)
    reason = str(found or error).strip().split("\n")[0][:200]
    if found:
        return UserError(
            f"checkpoint {path} cannot be read now ({reason}); it may be sound: see to"
            " the storage, and try again."
        )
    return DamagedCheckpoint(
        f"checkpoint {path} cannot be read ({reason}); delete that folder to go on"
        " from the checkpoint before."
    )


def _causes(error):
    """Yields an error and what led to it: Orbax wraps what it meets."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_unreachable(error):
    if isinstance(error, OSError):
        return error.errno not in (None, *_MISSING)
    text = str(error)  # TensorStore's are ValueErrors.
    code = re.search(r"os_error_code='(\d+)'", text)
    return text.startswith(_UNREACHABLE) or bool(code and int(code[1]) not in _MISSING)


def cannot_write(folder: epath.Path, error: Exception) -> UserError:
    """Returns what to raise where a checkpoint cannot be written to a folder."""
    reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
    if "No space left on device" in reason:  # TensorStore's is no OSError.
        reason = "no space left on device"
    return UserError(
        f"a checkpoint cannot be written to {folder} ({reason});"
        " the checkpoints already there are still valid."
    )


def check_bits(tree: Any, saved: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the extra values, if they and the tree are what was saved.

    Args:
      tree: of arrays, or the part of it that was loaded.
      saved: the checkpoint's description of itself.

    Raises:
      ValueError: they are not.
    """
    saved = saved or {}
    whole = digest_of(saved.get("extra"), saved.get("checksums"))
    if saved.get("digest") != whole:
        raise ValueError("its description is damaged or missing")
    for name, found in checksums_of(tree).items():
        if saved["checksums"].get(name) != found:
            raise ValueError(f"{name} has other bits than were saved")
    return saved["extra"]


def check_shapes(path: epath.Path, saved: Any, abstract: Any) -> None:
    """Checks that a checkpoint holds arrays of the shapes that are expected.

    Args:
      path: of the checkpoint.
      saved: its tree of anything with a shape.
      abstract: likewise, what is expected.

    Raises:
      UserError: it holds other networks.
      KeyError: an array is missing.
    """

    def shapes(tree):
        flat, _ = jax.tree_util.tree_flatten_with_path(tree)
        return {path_name(place): tuple(leaf.shape) for place, leaf in flat}

    saved, expected = shapes(saved), shapes(abstract)
    if missing := sorted(set(expected) - set(saved)):  # The config is the same.
        raise KeyError(f"{missing[0]} is missing in it")
    for name in sorted(set(saved) | set(expected)):
        if saved.get(name) != expected.get(name):
            raise UserError(
                f"checkpoint {path} is of another network: {name} is"
                f" {saved.get(name, 'missing')} there and"
                f" {expected.get(name, 'missing')} by the configuration."
            )


def checksums_of(tree: Any) -> dict[str, int]:
    """Returns path -> sum of an array's bits, which any single change changes.

    The same for any number of devices and processes that the arrays are spread over.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [path_name(path) for path, _ in flat]
    sums = jax.device_get(_sums([leaf for _, leaf in flat]))
    return {name: int(value) for name, value in zip(names, sums, strict=True)}


def digest_of(*values: Any) -> str:
    """Returns a digest of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@jax.jit
def _sums(leaves):
    return [_sum(leaf) for leaf in leaves]


def _sum(array):
    """The sum, modulo 2^32, of every value's bits, mixed with its place.

    The mixing is a bijection of the bits (MurmurHash3's finaliser; Appleby 2011), so
    that one changed value always changes the sum; and it is not linear, so that
    several changes do not cancel, as flipped signs would.
    """
    width = array.dtype.itemsize * 8
    bits = jax.lax.bitcast_convert_type(array, f"uint{width}").astype(jnp.uint32)
    index, stride = jnp.uint32(0), 1
    for axis in reversed(range(array.ndim)):  # No reshaping: it would move data.
        place = jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis)
        index += place * jnp.uint32(stride % 2**32)
        stride *= array.shape[axis]
    mixed = bits + index * jnp.uint32(0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
    return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)  # Also in 64-bit mode.


def path_name(path: Sequence[Any]) -> str:
    """Returns a leaf's place in a tree, as a/b/c."""
    keys = (getattr(p, "key", getattr(p, "name", getattr(p, "idx", p))) for p in path)
    return "/".join(str(key) for key in keys)
