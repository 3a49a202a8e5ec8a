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

from cyclegan_jax.errors import UserError, causes, is_storage_error

# What Orbax and TensorStore raise on truncated or corrupted files.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError)
# Storage errors: the files themselves may be intact.
_UNREACHABLE = (
    *("UNAVAILABLE", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "ABORTED"),
    *("RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "CANCELLED"),
)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


class DamagedCheckpoint(UserError):
    """A checkpoint that cannot be read, or differs from what was saved."""


def scores(folder: epath.Path) -> list[epath.Path]:
    """Lists the files of the scores by which the best checkpoint is kept."""
    return sorted(folder.glob("*/metrics/metrics"))


def broken_scores(folder: epath.Path) -> list[epath.Path]:
    """Lists invalid score files, on which Orbax would fail."""
    broken = []
    for file in scores(folder):
        try:
            float(json.loads(file.read_text())["score"])
        except FileNotFoundError:  # Deleted just now.
            continue
        except (ValueError, LookupError, TypeError, RecursionError):
            broken.append(file)
    return broken


def cannot_read(path: epath.Path, error: Exception) -> UserError:
    """Returns the error to raise for a checkpoint that cannot be read.

    Args:
      path: of the checkpoint.
      error: one of `UNREADABLE`.

    Returns:
      A DamagedCheckpoint, unless the storage failed.
    """
    try:  # Orbax hides why it has no description.
        (path / "_CHECKPOINT_METADATA").read_bytes()
    except Exception as first:  # Of an object store's package, or an OSError.
        error = first if _is_unreachable(first) else error
    found = next(filter(_is_unreachable, causes(error)), None)
    reason = str(found or error).strip().split("\n")[0][:200]
    if found:
        unreachable = UserError(
            f"checkpoint {path} cannot be read now ({reason}); it may be sound: see to"
            " the storage, and try again."
        )
        unreachable.__cause__ = found  # Which may be temporary.
        return unreachable
    return DamagedCheckpoint(
        f"checkpoint {path} cannot be read ({reason}); delete that folder to resume"
        " from the checkpoint before."
    )


def _is_unreachable(error):
    if isinstance(error, OSError):
        return error.errno not in (None, *_MISSING)
    if is_storage_error(error):
        return True
    text = str(error)  # TensorStore's are ValueErrors.
    code = re.search(r"os_error_code='(\d+)'", text)
    return text.startswith(_UNREACHABLE) or bool(code and int(code[1]) not in _MISSING)


def cannot_write(folder: epath.Path, error: Exception) -> UserError:
    """Returns the error to raise if a checkpoint cannot be written."""
    reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
    if "No space left on device" in reason:  # TensorStore's is not an OSError.
        reason = "no space left on device"
    return UserError(
        f"a checkpoint cannot be written to {folder} ({reason});"
        " the checkpoints already there are still valid."
    )


def check_bits(tree: Any, saved: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the extra values, after verifying them and the tree.

    Args:
      tree: of arrays, or the part of it that was loaded.
      saved: the checkpoint's description of itself.

    Raises:
      ValueError: they differ from what was saved.
    """
    saved = saved or {}
    whole = digest_of(saved.get("extra"), saved.get("checksums"))
    if saved.get("digest") != whole:
        raise ValueError("its description is damaged or missing")
    for name, checksum in checksums_of(tree).items():
        if saved["checksums"].get(name) != checksum:
            raise ValueError(f"{name} has other bits than were saved")
    return saved["extra"]


def check_shapes(
    path: epath.Path, saved: Any, abstract: Any, described: dict[str, Any] | None
) -> None:
    """Checks that the arrays of a checkpoint have the expected shapes.

    Args:
      path: of the checkpoint.
      saved: its tree of anything with a shape.
      abstract: the expected tree.
      described: the checkpoint's description of itself.

    Raises:
      UserError: it holds other networks.
      KeyError: an array that was saved is missing.
    """

    def shapes(tree):
        flat, _ = jax.tree_util.tree_flatten_with_path(tree)
        return {path_name(place): tuple(leaf.shape) for place, leaf in flat}

    saved, expected = shapes(saved), shapes(abstract)
    written = set((described or {}).get("checksums", ()))
    if lost := sorted(written - set(saved)):
        raise KeyError(f"{lost[0]} is missing in it")
    for name in sorted(set(saved) | set(expected)):
        if saved.get(name) != expected.get(name):
            raise UserError(
                f"checkpoint {path} is of another network: {name} is"
                f" {saved.get(name, 'missing')} there and"
                f" {expected.get(name, 'missing')} by the settings; use those that the"
                " run was started with, or another --workdir."
            )


def checksums_of(tree: Any) -> dict[str, int]:
    """Returns path -> checksum of an array's bits; any single change changes it.

    It does not depend on how arrays are distributed over devices and processes.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [path_name(path) for path, _ in flat]
    sums = jax.device_get(_sums([leaf for _, leaf in flat]))
    return {name: int(value) for name, value in zip(names, sums, strict=True)}


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Returns [] whether no array has an infinite or undefined value."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all()


def digest_of(*values: Any) -> str:
    """Returns a digest of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@jax.jit
def _sums(leaves):
    return [_sum(leaf) for leaf in leaves]


@jax.jit  # Traced once a shape.
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
