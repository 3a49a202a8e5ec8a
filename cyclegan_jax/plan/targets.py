"""The devices that a step is compiled for: here, or anywhere.

XLA's compilers for TPUs (libtpu) and NVIDIA's GPUs (the CUDA plugin) also work where no
such device is.
"""

import dataclasses
import importlib.util
import os
import pathlib
import platform
from importlib import metadata
from typing import Any

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime
from cyclegan_jax.plan import cards, chips

LOCAL = ("cpu", "gpu")


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices, as a compiler knows them.

    Attributes:
      title: what they are, for a person and for remembered costs.
      devices: JAX's.
      memory: of each, in bytes.
      usable: bytes that a program may use on each.
    """

    title: str
    devices: list[Any]
    memory: float
    usable: float


def parse(name: str) -> chips.Slice | cards.Cards | None:
    """Reads a topology; None for this machine's own devices.

    Raises:
      UserError: there is no such topology, or its compiler is missing or known to fail.
    """
    if name in LOCAL:
        return None
    if where := chips.Slice.parse(name):
        if importlib.util.find_spec("libtpu") is None:
            raise UserError(
                "compiling for TPUs needs libtpu; install it with"
                f' pip install "{runtime.LIBTPU}".'
            )
        if where.chip.name == "v6e":
            runtime.check_compiler(runtime.V6E)
        if where.chip.name == "tpu7x":
            _check_reader()
        return where
    if several := cards.Cards.parse(name):
        if _cuda_folder() is None:
            raise UserError(
                "compiling for GPUs that are not here needs the CUDA plugin and its"
                " libraries (9 GB); install them, best in an environment for planning"
                ' alone, with pip install ".[plan-gpu]".'
            )
        return several
    slices = "; ".join(
        f"{chip.name}:{', '.join(chip.slices)}" for chip in chips.CHIPS.values()
    )
    raise UserError(
        f"unknown topology {name!r}; there are cpu and gpu, which are here; NVIDIA's"
        f" {', '.join(cards.CARDS)}, or several as in h100:8; and slices of TPUs, such"
        f" as {slices}."
    )


def _check_reader():
    """Refuses a JAX that cannot read programs in which two kinds of core share work."""
    version = metadata.version("jax")
    if version.startswith("0.10."):
        raise UserError(
            f"JAX {version} cannot read what the compiler for TPU7x returns: plan with"
            " JAX 0.11, which pip installs on Python 3.12 or newer."
        )


def environment(where: chips.Slice | cards.Cards | None) -> dict[str, str]:
    """Returns the environment of a process that compiles for these devices."""
    result = runtime.environment_elsewhere()
    if where is None:
        return result
    result["JAX_PLATFORMS"] = "cpu"  # Devices that are here are left alone.
    if isinstance(where, chips.Slice):
        return result | {
            "TPU_ACCELERATOR_TYPE": where.chip.accelerator,
            "TPU_WORKER_HOSTNAMES": "localhost",
            "TPU_SKIP_MDS_QUERY": "1",  # There is no service that describes them.
            # Several processes may compile at once, as none of them touches a TPU.
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            "TPU_LOG_DIR": "disabled",
        }
    flags = f"{result.get('XLA_FLAGS', '')} --xla_gpu_cuda_data_dir={_cuda_folder()}"
    result["XLA_FLAGS"] = flags.strip()
    result["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # It asks a driver.
    return result


def _cuda_folder():
    """Where the CUDA wheels have their assembler; None if they are not installed."""
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        return None
    nvidia = importlib.util.find_spec("nvidia")
    for folder in (nvidia and nvidia.submodule_search_locations) or ():
        if (found := pathlib.Path(folder, "cuda_nvcc")).is_dir():
            return found
    return None


def find(name: str) -> Target:
    """Returns the devices; to be called in a process with the right `environment`.

    Raises:
      UserError: as `parse`; or they are not here, or the compiler does not know them.
    """
    where = parse(name)
    if where is None:
        found = local_devices(name)
        title = f"{len(found)} {found[0].device_kind} on {platform.node()}"
        memory = _local_memory(found)
        return Target(title, found, memory, memory)
    if isinstance(where, chips.Slice):
        devices = slice_devices(where)
    else:
        devices = card_devices(where)
    return Target(where.name, devices, where.memory, where.usable)


def local_devices(name: str) -> list[Any]:
    """Returns this machine's devices of a platform, cpu or gpu.

    Raises:
      UserError: it has none.
    """
    import jax

    try:
        return jax.devices(name)
    except RuntimeError as error:
        raise UserError(
            f"--topology={name}: JAX finds no such device here; name one to plan for"
            " it elsewhere, such as --topology=h100 or --topology=v5e:1x1."
        ) from error


def slice_devices(where: chips.Slice) -> list[Any]:
    """Returns the devices of a TPU slice, to compile for.

    Raises:
      UserError: libtpu knows no such slice.
    """
    import jax
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if where.chip.name in ("v4", "v5p"):
        options["chip_config_name"] = "megacore"  # A chip's two cores are one device.
    if where.nodes == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        found = topologies.get_topology_desc(where.name, "tpu", **options)
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):
            raise
        raise chips.refused(where) from error
    return list(found.devices)


def card_devices(where: cards.Cards) -> list[Any]:
    """Returns cards in one host, to compile for."""
    from jax.experimental import topologies

    found = topologies.get_topology_desc(
        "",
        "cuda",
        target_config=where.description(),
        topology=f"1x1x{where.count}",  # Without it, the plugin looks for cards here.
    )
    return list(found.devices)


def _local_memory(found):
    """Bytes of memory of each device; CPUs share those of the machine."""
    stats = found[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(found)
