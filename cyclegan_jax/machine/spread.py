"""Data-parallel application of a function to batches of images."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.machine import memory, pmapped, runtime, xla_options
from cyclegan_jax.machine.devices import all_devices
from cyclegan_jax.machine.pmapped import AXIS

KEPT = 8  # Programs: enough for a video, a batch and its tiles at a time.
_CPU_FACTOR = 2  # Peak memory over XLA:CPU's plan, which omits convolutions' buffers.


class Programs:
    """A function compiled for each of many shapes, of which the newest are kept.

    `jax.jit` alone keeps all of them: the memory of a long-lived process that sees ever
    more shapes would grow without bound.
    """

    def __init__(self, function: Callable, **options: Any):
        """Takes what to compile, and options of `jax.jit`."""
        self._function, self._options = function, options
        # The newest comes last. (JAX does not export the type of what `jit` returns.)
        self._programs: dict[Any, Any] = {}

    def __call__(self, kind: Any, *arguments: Any, images: int = 1) -> Any:
        """Calls the function.

        Args:
          kind: tells the arguments' shapes from others.
          *arguments: of the function.
          images: that each device computes at a time.

        Raises:
          MemoryError: a CPU's memory does not suffice; nothing has been tried.
        """
        program = self._programs.pop(kind, None) or self._compile(arguments, images)
        self._programs[kind] = program
        if len(self._programs) > KEPT:
            self._programs.pop(next(iter(self._programs)))
        return program(*arguments)

    def _compile(self, arguments, images):
        # A new function object each time: JAX's cache would keep programs of the same.
        program = jax.jit(functools.partial(self._function), **self._options)
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # Set by JAX.
            return program
        platform = jax.default_backend()
        options = xla_options.of_networks(platform, images)
        program = pmapped.compile_with(program.lower(*arguments), options)
        if platform == "cpu":  # Other backends check it themselves.
            _check_memory(program.memory_analysis())
        return program


def _check_memory(needs):
    """Raises MemoryError if Linux would kill this process, or XLA abort it."""
    wanted = _CPU_FACTOR * (needs.temp_size_in_bytes + needs.output_size_in_bytes)
    left = memory.available()
    if wanted > left.bytes:
        raise MemoryError(
            f"{wanted / 2**30:.1f} GiB are needed; {left.limit} leaves"
            f" {left.bytes / 2**30:.1f}"
        )


class Spread:
    """Applies a function to batches whose images are spread over devices.

    Attributes:
      count: devices used.
    """

    def __init__(
        self,
        function: Callable,
        *,
        all_processes: bool = False,
        by_image: bool = False,
    ):
        """Says what to apply, and where.

        Args:
          function: called with variables and a batch [B, ...]; gives arrays [B, ...].
          all_processes: use the devices of all processes, which must then make the
            same calls with the same batches; otherwise only this one's.
          by_image: compute images one by one on each device, by one program, so that
            the bits do not depend on the number of devices.
        """
        runtime.check_compiler(jax.local_devices()[0].device_kind)
        devices = all_devices() if all_processes else np.array(jax.local_devices())
        mesh = Mesh(devices, (AXIS,))
        self.count = devices.size
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._at_once = devices.size if by_image else 0
        if by_image:  # Not left to XLA, which could divide a batch in other ways.
            function = jax.shard_map(
                function,
                mesh=mesh,
                in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
                out_specs=PartitionSpec(AXIS),
                check_vma=False,
            )
        self._programs = Programs(function, out_shardings=self._everywhere)

    def place(self, variables: Any) -> Any:
        """Copies variables to all devices, as the call wants them."""
        return jax.tree.map(functools.partial(_put, self._everywhere), variables)

    def __call__(self, variables: Any, batch: np.ndarray) -> np.ndarray:
        """Returns the whole result for [B, ...], with any B from 1 on.

        The last image is repeated so that all devices get equally many.
        """
        size = self._at_once or len(batch)
        parts = (batch[i : i + size] for i in range(0, len(batch), size))
        return np.concatenate([self._apply(variables, part) for part in parts])

    def _apply(self, variables, batch):
        share = -(-len(batch) // self.count)
        full = fill_up(batch, share * self.count)
        arguments = variables, _put(self._split, full)
        result = self._programs(full.shape, *arguments, images=share)
        return np.asarray(result)[: len(batch)]


def fill_up(batch: np.ndarray, size: int) -> np.ndarray:
    """Repeats the last image of [B, ...] until there are at least `size`."""
    missing = max(size - len(batch), 0)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])


def _put(sharding, value):
    """Places what every process has in full; each one puts its devices' part."""
    value = np.asarray(value)
    return jax.make_array_from_callback(value.shape, sharding, lambda part: value[part])
