"""The devices of a training run, and the placement of arrays on them.

The training state is replicated; batches and pools carry a leading device axis. A
*slot* is a position in the global batch; slots are assigned to processes, and within a
process to its devices, in order.

With several processes all arrays are *global*: they span the devices of all processes,
and each process holds its own parts.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import pmapped, runtime
from cyclegan_jax.machine.pmapped import AXIS


class Devices:
    """All devices of a run, of which this process drives the local ones.

    Attributes:
      count: devices over all processes.
      local_slots: slots of the global batch that this process feeds.
    """

    def __init__(self, batch_size: int, limit: int = 0):
        """Divides a global batch of `batch_size` images evenly over the devices.

        Args:
          batch_size: images of each domain in a step, at least 1.
          limit: use only this many of this process's devices; 0: all of all processes.

        Raises:
          UserError: there are fewer devices, the batch cannot be divided evenly, or the
            devices' compiler is known to crash.
        """
        runtime.check_compiler(jax.local_devices()[0].device_kind)
        self._local = jax.local_devices()
        self.count = jax.device_count()
        if limit:
            if jax.process_count() > 1 or not 0 < limit <= self.count:
                raise UserError(
                    f"--devices is {limit}; it can be 1 to {self.count}, and only in"
                    " one process."
                )
            self.count, self._local = limit, self._local[:limit]
        if batch_size % self.count:
            advice = f"--config.batch_size={self.count}"
            if jax.process_count() == 1:  # With several, --devices is refused.
                fewer = max(n for n in range(1, self.count) if batch_size % n == 0)
                advice += f", or fewer devices, such as --devices={fewer}"
            raise UserError(
                f"batch_size is {batch_size}, which {self.count} devices cannot share"
                f" evenly; use a multiple of {self.count}, such as {advice}."
            )
        self.per_device = batch_size // self.count
        local = len(self._local) * self.per_device
        first = jax.process_index() * local
        self.local_slots = range(first, first + local)
        self._local_mesh = Mesh(np.array(self._local), (AXIS,))
        devices = np.array(self._local) if limit else all_devices()
        self._mesh = Mesh(devices, (AXIS,))
        # None: all devices, in the order of `jax.pmap`.
        self._mapped = self._local if self.count < jax.device_count() else None

    def pmap(self, step: Callable) -> pmapped.Program:
        """Compiles a step for these devices; see `pmapped.pmap`."""
        return pmapped.over_processes(pmapped.pmap(step, self._mapped))

    def map(self, function: Callable, **options: Any) -> pmapped.Program:
        """Compiles any function for these devices; options are `jax.pmap`'s."""
        mapped = jax.pmap(function, devices=self._mapped, **options)
        return pmapped.over_processes(mapped)

    def replicate(self, tree: Any) -> Any:
        """Copies arrays, which all processes have alike, to every device.

        Placed like the step's own outputs: otherwise its second call would compile
        again.
        """
        return self._put(tree, PartitionSpec())

    def split(self, tree: Any) -> Any:
        """Spreads [local slots, ...] arrays: [devices, slots per device, ...]."""
        shape = (len(self._local), self.per_device)
        tree = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)
        return self._put(tree, PartitionSpec(AXIS))

    def _put(self, tree, spec):
        """Puts this process's parts of arrays on its devices."""
        tree = jax.device_put(tree, NamedSharding(self._local_mesh, spec))
        if jax.process_count() == 1:
            return tree
        sharding = NamedSharding(self._mesh, spec)
        return jax.tree.map(functools.partial(_whole, sharding, self.count), tree)

    def place(self, state: Any, pools: Any) -> tuple[Any, Any]:
        """Puts a state on every device, and the pools of the local slots on theirs."""
        return self.replicate(state), self.split(pools)

    def place_batch(self, batch: Any) -> Any:
        """Spreads a batch [local slots, ...] over the devices, with its slots."""
        slots = np.array(self.local_slots, np.int32)
        return self.split({**batch, "slot": slots})

    def whole(self, state: Any, pools: Any) -> dict[str, Any]:
        """Returns a placed state and pools as a checkpoint has them: by slot.

        They are [batch size, ...] there, whatever the number of devices.
        """
        return {"state": state, "pools": self._merge(pools)}

    def from_whole(self, tree: dict[str, Any]) -> tuple[Any, Any]:
        """The inverse of `whole`."""
        return tree["state"], self._split(tree["pools"])

    @functools.cached_property
    def _merge(self):
        return self._reshaping(lambda x: x.reshape(-1, *x.shape[2:]))

    @functools.cached_property
    def _split(self):
        shape = (self.count, self.per_device)
        return self._reshaping(lambda x: x.reshape(*shape, *x.shape[1:]))

    def _reshaping(self, function):
        """Compiles a function of every array in a tree; no data move."""
        return jax.jit(
            functools.partial(jax.tree.map, function),
            out_shardings=NamedSharding(self._mesh, PartitionSpec(AXIS)),
        )

    def describe(self) -> str:
        """Names the devices in a few words."""
        kind = self._local[0].device_kind
        hosts = f" on {jax.process_count()} hosts" if jax.process_count() > 1 else ""
        plural = "s" if self.count > 1 else ""
        return f"{self.count} {jax.default_backend()} device{plural} ({kind}){hosts}"


def all_devices() -> np.ndarray:
    """Returns all devices, process by process."""
    return np.array(sorted(jax.devices(), key=lambda d: (d.process_index, d.id)))


def _whole(sharding, devices, array):
    """The global array that this process's shards of `array` are part of."""
    shards = [shard.data for shard in array.addressable_shards]
    shape = (devices, *array.shape[1:]) if sharding.spec else array.shape
    return jax.make_array_from_single_device_arrays(shape, sharding, shards)
