"""The only file that knows devices: placement, the pmapped step, several hosts.

The training state is replicated; batches and pools carry a leading device axis. A
*slot* is a place in the global batch; slots are dealt out to devices in order.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.errors import UserError

AXIS = "batch"


class Devices:
    """All devices of a run, of which this process drives the local ones.

    Attributes:
      count: devices over all processes.
      local_slots: slots of the global batch that this process feeds.
    """

    def __init__(self, batch_size: int):
        """Divides a global batch of `batch_size` images evenly over all devices.

        Raises:
          UserError: the batch cannot be divided evenly.
        """
        self.count = jax.device_count()
        if batch_size < 1 or batch_size % self.count:
            raise UserError(
                f"batch_size is {batch_size}, which {self.count} device(s) cannot share"
                f" evenly; use a multiple of {self.count}, such as"
                f" --config.batch_size={self.count}."
            )
        self._local = jax.local_devices()
        self.per_device = batch_size // self.count
        local = len(self._local) * self.per_device
        first = jax.process_index() * local
        self.local_slots = range(first, first + local)
        self._mesh = Mesh(np.array(self._local), (AXIS,))

    def replicate(self, tree: Any) -> Any:
        """Copies arrays to every local device.

        Placed like the step's own outputs: otherwise its second call would compile
        again.
        """
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def split(self, tree: Any) -> Any:
        """Spreads [local slots, ...] arrays: [local devices, slots a device, ...]."""
        sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))
        shape = (len(self._local), self.per_device)
        return jax.device_put(
            jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree), sharding
        )

    def merge(self, tree: Any) -> Any:
        """The inverse of `split`, without moving data: [local slots, ...]."""
        return self._merge(tree)

    @functools.cached_property
    def _merge(self):
        sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))

        def merge(tree):
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)

        return jax.jit(merge, out_shardings=sharding)

    def describe(self) -> str:
        """Names the devices in a few words."""
        kind = self._local[0].device_kind
        hosts = f" on {jax.process_count()} hosts" if jax.process_count() > 1 else ""
        plural = "s" if self.count > 1 else ""
        return f"{self.count} {jax.default_backend()} device{plural} ({kind}){hosts}"


def pmap(step: Callable, devices: Sequence[Any] | None = None) -> Callable:
    """Compiles `step(state, pools, batch, seed)` for all devices of a run.

    State and metrics are replicated, pools and batches split. The arguments `state` and
    `pools` are donated: their memory becomes the results', so do not use them again.

    Args:
      step: what one device does; it may use the axis `AXIS`.
      devices: by default all that there are; to compile only, a topology's will do.
    """
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, 0, None),
        out_axes=(None, 0, None),
        donate_argnums=(0, 1),
        devices=devices,
    )
