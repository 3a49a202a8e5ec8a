"""The devices of a training run: placement of arrays, and the pmapped step.

The training state is replicated; batches and pools carry a leading device axis. A
*slot* is a position in the global batch; slots are assigned to processes, and within a
process to its devices, in order.

With several processes all arrays are *global*: they span the devices of all processes,
and each process holds its own parts.
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


class OverProcesses:
    """A pmapped function of global arrays, one program for each of their shapes.

    `jax.pmap` itself takes and returns arrays of one process alone, and cannot be
    lowered from shapes where there are several processes.
    """

    def __init__(self, mapped: jax.stages.Wrapped):
        """Takes what `jax.pmap` returned."""
        self._mapped = mapped
        self._programs: dict[Any, jax.stages.Compiled] = {}

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """Lowers the function for arguments with these shapes, over all processes."""

        def abstract(x):  # Of these alone, pmap does not make arrays of its process.
            return jax.core.ShapedArray(x.shape, x.dtype)

        return self._mapped.lower(*jax.tree.map(abstract, arguments))

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function with global arrays, or what all processes have alike."""
        leaves, tree = jax.tree.flatten(arguments)
        key = (tree, *((x.shape, x.dtype) for x in leaves))
        if key not in self._programs:
            self._programs[key] = self.lower(*arguments).compile()
        return self._programs[key](*arguments)


Program = jax.stages.Wrapped | OverProcesses


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

    def pmap(self, step: Callable) -> Program:
        """Compiles a step for these devices; see `pmap`."""
        return _over_processes(pmap(step, self._mapped))

    def map(self, function: Callable, **options: Any) -> Program:
        """Compiles any function for these devices; options are `jax.pmap`'s."""
        return _over_processes(jax.pmap(function, devices=self._mapped, **options))

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


def _over_processes(mapped: jax.stages.Wrapped) -> Program:
    return mapped if jax.process_count() == 1 else OverProcesses(mapped)


def shapes(
    count: int, per_device: int, state: Any, pools: Any, batch: Any
) -> tuple[Any, ...]:
    """Returns the shapes of a step's arguments, of what they are placed from.

    Args:
      count: devices.
      per_device: slots per device.
      state: arrays or shapes, as the pools' and the batch's, [slots, ...].
      pools: of the slots of all devices or only of this process's; also the batch.
      batch: images of both domains.
    """

    def split(x):
        return jax.ShapeDtypeStruct((count, per_device, *x.shape[1:]), x.dtype)

    pools, batch = jax.tree.map(split, (pools, batch))
    slot = jax.ShapeDtypeStruct((count, per_device), np.int32)
    seed = jax.ShapeDtypeStruct((), np.uint32)
    return state, pools, {**batch, "slot": slot}, seed


def compile_early(step: Program, arguments: tuple[Any, ...]) -> Callable:
    """Traces a pmapped step and compiles it in the background.

    Meanwhile Python can create the step's arguments. (A process that exits earlier
    waits for the compiler, which cannot be interrupted.)

    Args:
      step: see `pmap`.
      arguments: their shapes; see `shapes`.

    Returns:
      The compiled step, whose first call waits for the compiler. On GPUs, where XLA
      times kernels while compiling, which needs the device to itself: `step`, which
      compiles when first called.
    """
    if jax.default_backend() == "gpu":
        return step
    lowered = step.lower(*arguments)
    compiler = ThreadPoolExecutor(1)
    compiled = compiler.submit(lowered.compile)
    compiler.shutdown(wait=False)
    return lambda *arrays: compiled.result()(*arrays)


def all_devices() -> np.ndarray:
    """Returns all devices, process by process."""
    return np.array(sorted(jax.devices(), key=lambda d: (d.process_index, d.id)))


def _whole(sharding, devices, array):
    """The global array that this process's shards of `array` are part of."""
    shards = [shard.data for shard in array.addressable_shards]
    shape = (devices, *array.shape[1:]) if sharding.spec else array.shape
    return jax.make_array_from_single_device_arrays(shape, sharding, shards)
