"""A function of images, applied to batches that are spread over devices."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.machine import runtime
from cyclegan_jax.machine.devices import AXIS, all_devices

_KEPT = 8  # Programs: enough for a video, a batch and its tiles at a time.


class Programs:
    """A function compiled for each of many shapes, of which the newest are kept.

    `jax.jit` by itself keeps all, and a long-lived process that sees ever more shapes
    would grow for ever.
    """

    def __init__(self, function: Callable, **options: Any):
        """Takes what to compile, and options of `jax.jit`."""
        self._function, self._options = function, options
        self._programs: dict[Any, Callable] = {}  # The newest comes last.

    def __call__(self, shape: tuple[int, ...], *arguments: Any) -> Any:
        """Calls the function with arguments that `shape` tells apart from others."""
        program = self._programs.pop(shape, None)
        if program is None:
            # A function of its own: JAX keeps programs by function.
            program = jax.jit(functools.partial(self._function), **self._options)
        self._programs[shape] = program
        if len(self._programs) > _KEPT:
            self._programs.pop(next(iter(self._programs))).clear_cache()
        return program(*arguments)


class Spread:
    """Applies a function to batches whose images are spread over devices.

    Attributes:
      count: devices used.
    """

    def __init__(self, function: Callable, *, all_processes: bool = False):
        """Says what to apply, and where.

        Args:
          function: called with variables and a batch [B, ...]; gives arrays [B, ...].
          all_processes: use the devices of all processes, which must then make the
            same calls with the same batches; otherwise only this one's.
        """
        runtime.check_compiler(jax.local_devices()[0].device_kind)
        devices = all_devices() if all_processes else np.array(jax.local_devices())
        mesh = Mesh(devices, (AXIS,))
        self.count = devices.size
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._programs = Programs(function, out_shardings=self._everywhere)

    def place(self, variables: Any) -> Any:
        """Copies variables to all devices, as the call wants them."""
        return jax.tree.map(functools.partial(_put, self._everywhere), variables)

    def __call__(self, variables: Any, batch: np.ndarray) -> np.ndarray:
        """Returns the whole result for [B, ...], with any B from 1 on.

        Every device gets as many images; the last one is repeated to fill up.
        """
        missing = -len(batch) % self.count
        full = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        result = self._programs(full.shape, variables, _put(self._split, full))
        return np.asarray(result)[: len(batch)]


def _put(sharding, value):
    """Places what every process has in full; each one puts its devices' part."""
    value = np.asarray(value)
    return jax.make_array_from_callback(value.shape, sharding, lambda part: value[part])
