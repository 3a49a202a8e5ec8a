"""Pmapped functions: the step of a run, over one process or several, compiled early."""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from cyclegan_jax.machine import runtime, xla_options

AXIS = "batch"


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


def over_processes(mapped: jax.stages.Wrapped) -> Program:
    """Returns a pmapped function in the form for as many processes as there are."""
    return mapped if jax.process_count() == 1 else OverProcesses(mapped)


def shapes(
    count: int, per_device: int, state: Any, pools: Any, batch: Any
) -> tuple[Any, ...]:
    """Returns the shapes of a step's arguments, from those of what is to be placed.

    Args:
      count: devices.
      per_device: slots per device.
      state: arrays or their shapes.
      pools: the same, [slots, ...]; this process's slots will do.
      batch: the same, without the slots' numbers.
    """

    def split(x):
        return jax.ShapeDtypeStruct((count, per_device, *x.shape[1:]), x.dtype)

    pools, batch = jax.tree.map(split, (pools, batch))
    slot = jax.ShapeDtypeStruct((count, per_device), np.int32)
    seed = jax.ShapeDtypeStruct((), np.uint32)
    return state, pools, {**batch, "slot": slot}, seed


def compile_early(step: Program, arguments: tuple[Any, ...], images: int) -> Callable:
    """Traces a pmapped step and compiles it in the background.

    Meanwhile Python can create the step's arguments. (A process that exits earlier
    waits for the compiler, which cannot be interrupted.)

    Args:
      step: see `pmap`.
      arguments: their shapes; see `shapes`.
      images: see `xla_options.of_networks`.

    Returns:
      The compiled step, whose first call waits for the compiler. On GPUs, where XLA
      times kernels while compiling, which needs the device to itself: `step`, which
      compiles when first called.
    """
    platform = jax.default_backend()
    if platform == "gpu":
        return step
    lowered = step.lower(*arguments)
    compiler = ThreadPoolExecutor(1)
    compiled = compiler.submit(
        _compile, lowered, xla_options.of_networks(platform, images)
    )
    compiler.shutdown(wait=False)
    return lambda *arrays: compiled.result()(*arrays)


def _compile(lowered, options):
    compiled = compile_with(lowered, options)  # Takes more than 1 GB at 256x256.
    runtime.give_back_memory()
    return compiled


def compile_with(
    lowered: jax.stages.Lowered, options: Mapping[str, bool]
) -> jax.stages.Compiled:
    """Compiles a program; without the options, and says so, if XLA has no such."""
    try:
        return lowered.compile(compiler_options=dict(options) or None)
    except jax.errors.JaxRuntimeError as error:
        if not options or "No such compile option" not in str(error):
            raise
    print(
        f"warning: this version of XLA lacks an option of {', '.join(options)}:"
        " batches may take several times as long.",
        file=sys.stderr,
    )
    return lowered.compile()
