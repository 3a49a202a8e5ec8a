"""What a compiled step costs each device; measured once, then remembered.

Compiling takes minutes, so costs are kept in a folder of the user's. A file's
name is a digest of all that they depend on: the program itself (so any change of the
config or of this library that changes the step), where it is to run, and versions and
flags of the compiler.
"""

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
from absl import logging
from etils import epath
from jaxlib import xla_client

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import pmapped
from cyclegan_jax.plan import hlo, sources, traffic, units

_FORMAT = 4  # Increment when the meaning of a cached value changes.
_PACKAGES = (
    *("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "nvidia-cudnn-cu12"),
    *("jax-cuda13-plugin", "nvidia-cudnn-cu13"),
)
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_REFUSED = re.compile(
    r"(?:memory required[^(]*\(|Used )([\d.]+)([KMG]?).*?"
    r"(?:HBM \(|of )([\d.]+)([KMG]?)"
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one device does in a step, and holds.

    Attributes:
      fits: whether it fits into memory; if not, all but `memory` is 0.
      memory: bytes held at once: arguments, results, temporary arrays, and code.
      temporary: bytes of that for arrays that live within a step.
      flops: operations, as XLA counts them (a multiply-add is two).
      moved: bytes read from and written to main memory; see `traffic`.
      collective: bytes that are averaged over all devices.
      collectives: number of such operations.
      cycles: that XLA estimates for all units, on TPUs.
      dearest: the source lines with most cycles, see `units.dearest`.
      layers: cycles or bytes by layer, see `units.by_layer`.
      kinds: bytes by kind of unit, see `units.moved_by_kind`.
      windows: of convolutions, see `units.windows`.
      seconds: the compilation took.
    """

    fits: bool
    memory: float
    temporary: float = 0
    flops: float = 0
    moved: float = 0
    collective: float = 0
    collectives: int = 0
    cycles: float = 0
    dearest: list = dataclasses.field(default_factory=list)
    layers: list = dataclasses.field(default_factory=list)
    kinds: list = dataclasses.field(default_factory=list)
    windows: list = dataclasses.field(default_factory=list)
    seconds: float = 0


def cached(
    lowered: jax.stages.Lowered,
    where: str,
    loops: int,
    folder: epath.PathLike | None = None,
    options: Mapping[str, bool] | None = None,
) -> Cost:
    """Returns what a program costs, compiling it only if nobody has before.

    Args:
      lowered: the program.
      where: what it is compiled for, such as v5e:4x4, or a description of this machine.
      loops: see `measure`.
      folder: of the remembered costs; by default `plan` in `files.cache_folder()`.
      options: of XLA, see `xla_options.of_networks`.
    """
    folder = files.as_path(folder or files.cache_folder() / "plan")
    try:
        folder.mkdir(parents=True, exist_ok=True)  # Before minutes of work.
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror or error}); name a folder for"
            " remembered costs with --cache."
        ) from error
    path = folder / f"{key(lowered, where, options)}.json"
    try:
        return Cost(**json.loads(path.read_text()))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError) as error:
        logging.warning("%s is damaged (%s): computing it again", path, error)
    cost = measure(lowered, loops, options)
    files.write_json(path, dataclasses.asdict(cost))
    return cost


def key(
    lowered: jax.stages.Lowered,
    where: str,
    options: Mapping[str, bool] | None = None,
) -> str:
    """Returns a digest of a program, where it is to run, and of what compiles it."""
    parts = {
        "options": dict(options or {}),
        "format": _FORMAT,
        "program": lowered.as_text(),
        "where": where,
        "packages": {name: _version(name) for name in _PACKAGES},
        "flags": {name: os.environ.get(name, "") for name in _FLAGS},
        "optimised": not jax.config.read("jax_disable_most_optimizations"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def measure(
    lowered: jax.stages.Lowered,
    loops: int = 1,
    options: Mapping[str, bool] | None = None,
) -> Cost:
    """Compiles a program and counts.

    Args:
      lowered: the program.
      loops: trip count of the gradient accumulation (`accumulate`), whose body XLA
        counts once. The total is multiplied by it, including the optimiser, whose share
        is under a thousandth.
      options: of XLA, see `xla_options.of_networks`.
    """
    start = time.monotonic()
    try:
        compiled = pmapped.compile_with(lowered, options or {})
    except jax.errors.JaxRuntimeError as error:
        refused = _REFUSED.search(str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or not refused:
            raise
        return Cost(fits=False, memory=float(refused[1]) * _UNITS[refused[2]])
    seconds = time.monotonic() - start
    memory = compiled.memory_analysis()
    text = compiled.as_text()
    # XLA for CPUs, GPUs and TPUs reports both.
    assert memory is not None
    assert text is not None
    program = hlo.Program(text)
    return Cost(
        fits=True,
        memory=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        flops=loops * _flops(lowered, compiled),
        moved=traffic.main_memory_bytes(program),
        collective=traffic.collective_bytes(program),
        collectives=units.collectives(program),
        cycles=units.cycles(program),
        dearest=units.dearest(program, sources.Sources(text)),
        layers=units.by_layer(program),
        kinds=units.moved_by_kind(program),
        windows=units.windows(program),
        seconds=round(seconds, 1),
    )


def _flops(lowered: Any, compiled: Any) -> float:
    """Of the program as written, where XLA tells, or else as compiled.

    Compiled for a CPU or GPU, convolutions become calls of libraries, which XLA cannot
    look into; for a TPU topology it only tells of compiled programs (and JAX 0.11
    raises for others), and for cards that are not here of neither, but what is written
    can be counted by any XLA.
    """
    try:
        found = lowered.cost_analysis()
    except jax.errors.JaxRuntimeError:
        found = None
    found = found or compiled.cost_analysis()
    if not found:
        written = lowered.compiler_ir("hlo").as_hlo_module()
        found = xla_client._xla.hlo_module_cost_analysis(
            jax.local_devices(backend="cpu")[0].client, written
        )
    return found["flops"]
