"""The devices of a training run: placement of arrays, and the pmapped step.

The training state is replicated; batches and pools carry a leading device axis. A
*slot* is a position in the global batch; slots are assigned to processes, and within a
process to its devices, in order.

With several processes, the pmapped step takes and returns arrays of this process alone
(*local* arrays). Checkpoints and evaluations need *global* arrays, which span all
processes; the two are views of the same memory.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime

AXIS = "batch"


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
        self._mesh = Mesh(np.array(self._local), (AXIS,))
        devices = np.array(self._local) if limit else all_devices()
        self._global_mesh = Mesh(devices, (AXIS,))
        # None: all devices, in the order of `jax.pmap`.
        self._mapped = self._local if self.count < jax.device_count() else None

    def pmap(self, step: Callable) -> jax.stages.Wrapped:
        """Compiles a step for these devices; see `pmap`."""
        return pmap(step, self._mapped)

    def map(self, function: Callable, **options: Any) -> Callable:
        """Compiles any function for these devices; options are `jax.pmap`'s."""
        return jax.pmap(function, devices=self._mapped, **options)

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

    def to_global(self, tree: Any, *, by_slot: bool) -> Any:
        """Views local arrays as parts of global ones.

        Args:
          tree: of arrays; replicated ones, or with `by_slot` [local slots, ...] ones.
          by_slot: the global ones are [batch size, ...].
        """
        sharding = NamedSharding(self._global_mesh, _spec(by_slot))
        return jax.tree.map(functools.partial(_view, sharding, self.count), tree)

    def to_local(self, tree: Any, *, by_slot: bool) -> Any:
        """The inverse of `to_global`."""
        sharding = NamedSharding(self._mesh, _spec(by_slot))
        return jax.tree.map(functools.partial(_view, sharding, len(self._local)), tree)

    def place(self, state: Any, pools: Any) -> tuple[Any, Any]:
        """Puts a state on every local device, and the pools of the slots on theirs."""
        return self.replicate(state), self.split(pools)

    def place_batch(self, batch: Any) -> Any:
        """Spreads a batch [local slots, ...] over the devices, with its slots."""
        slots = np.array(self.local_slots, np.int32)
        return self.split({**batch, "slot": slots})

    def whole(self, state: Any, pools: Any) -> dict[str, Any]:
        """Returns the placed state and pools as global arrays, for a checkpoint."""
        return {
            "state": self.to_global(state, by_slot=False),
            "pools": self.to_global(self.merge(pools), by_slot=True),
        }

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


def pmap(step: Callable, devices: Sequence[Any] | None = None) -> jax.stages.Wrapped:
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


def compile_early(step: jax.stages.Wrapped, arguments: Callable[[], tuple]) -> Callable:
    """Traces a pmapped step and compiles it in the background.

    Meanwhile Python can create the step's arguments. (A process that exits earlier
    waits for the compiler, which cannot be interrupted.)

    Args:
      step: see `pmap`.
      arguments: creates its arguments; only their shapes are used.

    Returns:
      The compiled step, whose first call waits for the compiler. With several
      processes (where only `step` assembles global arrays from local ones) and on GPUs
      (where XLA times kernels while compiling, which needs the device to itself):
      `step`, which compiles when first called.
    """
    if jax.process_count() > 1 or jax.default_backend() == "gpu":
        return step
    lowered = step.lower(*jax.eval_shape(arguments))
    compiler = ThreadPoolExecutor(1)
    compiled = compiler.submit(lowered.compile)
    compiler.shutdown(wait=False)
    return lambda *arrays: compiled.result()(*arrays)


def all_devices() -> np.ndarray:
    """Returns all devices, process by process."""
    return np.array(sorted(jax.devices(), key=lambda d: (d.process_index, d.id)))


def _spec(by_slot):
    return PartitionSpec(AXIS) if by_slot else PartitionSpec()


def _view(sharding, devices, array):
    """The array that this process's shards of `array` are part of by `sharding`."""
    shards = [shard.data for shard in array.addressable_shards]
    shape = array.shape
    if sharding.spec:
        shape = (shards[0].shape[0] * devices, *shape[1:])
    return jax.make_array_from_single_device_arrays(shape, sharding, shards)
