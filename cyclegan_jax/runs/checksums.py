"""Sums that tell whether arrays and JSON values are still what they were."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp


def of_arrays(tree: Any) -> dict[str, int]:
    """Returns path -> sum of an array's bits, which any single change changes.

    The same for any number of devices and processes that the arrays are spread over.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [path_name(path) for path, _ in flat]
    sums = jax.device_get(_sums([leaf for _, leaf in flat]))
    return {name: int(value) for name, value in zip(names, sums, strict=True)}


def of_json(*values: Any) -> str:
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
        index, stride = index + place * jnp.uint32(stride), stride * array.shape[axis]
    mixed = bits + index * jnp.uint32(0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
    return jnp.sum(mixed ^ (mixed >> 16))


def path_name(path: Sequence[Any]) -> str:
    """Returns a leaf's place in a tree, as a/b/c."""
    keys = (getattr(p, "key", getattr(p, "name", getattr(p, "idx", p))) for p in path)
    return "/".join(str(key) for key in keys)
