"""What results depend on besides the config: versions, devices, flags, source code."""

import enum
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime, xla_options

# The packages that can affect results: they compute, read or decode.
_PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorstore", "grain"),
    *("tensorflow-datasets", "array_record", "numpy", "pillow", "ml_dtypes"),
    *("jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu"),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cublas-cu12", "nvidia-cublas"),
)
_VARIABLES = ("JAX_", "XLA_", "LIBTPU_", "TPU_", "NVIDIA_TF32_OVERRIDE", "NPROC")
# Where a process runs and what it keeps, not what it computes.
_OWN = ("JAX_COMPILATION_CACHE_DIR", "JAX_COORDINATOR_ADDRESS", "TPU_WORKER_ID")
_DETERMINISTIC = "--xla_gpu_deterministic_ops"
_DEVICE_COUNT = re.compile(r"--xla_force_host_platform_device_count=\d+ ?")
# What `differences` calls where a run computes, which `same_bits` makes irrelevant, and
# what else changes no more than the order of sums.
_WHERE = ("devices:", "processes:", "cores:", "variables.JAX_NUM_CPU_DEVICES:")
_THREADS = ("variables.NPROC:",)


class Level(enum.StrEnum):
    """How alike two runs of one config and seed are; see docs/reproducibility.md."""

    BIT_EXACT = "bit-exact"
    ROUNDING = "deterministic up to rounding"
    STATISTICAL = "statistically equivalent"


def prepare(
    *, compute_dtype: str, deterministic: bool, same_bits: bool = False
) -> None:
    """Sets this process up for a run's numbers; call it before JAX's first use.

    Args:
      compute_dtype: the run's setting of that name.
      deterministic: likewise, see `make_deterministic`.
      same_bits: likewise, see `runtime.fix_threads`.

    Raises:
      UserError: XLA_FLAGS says otherwise.
    """
    make_deterministic(deterministic)
    runtime.compute_in(compute_dtype)
    if same_bits:
        runtime.fix_threads()


def make_deterministic(wanted: bool) -> None:
    """Asks XLA for programs that give the same bits every time. Call it before JAX.

    On CPU and TPU they always do. On GPU it takes a flag, which excludes kernels that
    sum in a non-deterministic order, and autotuning, whose choice may differ from one
    process to the next: a step may become slower.

    Args:
      wanted: False leaves the flags as they are.

    Raises:
      UserError: XLA_FLAGS says otherwise.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    given = [flag for flag in flags if flag.split("=")[0] == _DETERMINISTIC]
    if not wanted or not _has_gpu_plugin():
        return
    if any(
        flag.lower() in (f"{_DETERMINISTIC}=false", f"{_DETERMINISTIC}=0")
        for flag in given
    ):
        raise UserError(
            f"XLA_FLAGS has {given[-1]}, but config.deterministic is True; change one"
            " of them."
        )
    if not given:
        option = f"{_DETERMINISTIC}=true"
        if not xla_options.accepts(option):
            raise UserError(
                f"config.deterministic is True, but jaxlib {metadata.version('jaxlib')}"
                f" did not accept {option}: try again if the machine was too busy to"
                " answer, or use config.deterministic=False."
            )
        os.environ["XLA_FLAGS"] = " ".join([*flags, option])


def _has_gpu_plugin():
    plugins = metadata.entry_points(group="jax_plugins")
    return any("cuda" in plugin.name or "rocm" in plugin.name for plugin in plugins)


def describe() -> dict[str, Any]:
    """Describes what this process computes on, in JSON values."""
    return {
        "python": platform.python_version(),
        "packages": _versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": runtime.processor(),
        "cores": _cores(),
        "backend": jax.default_backend(),
        "runtime": jax.devices()[0].client.platform_version.replace("\n", " "),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(_VARIABLES) and name not in _OWN
        },
        "git": _git(),
        "command": sys.argv,
    }


def differences(saved: Mapping[str, Any]) -> list[str]:
    """Lists `what: then -> now` for all that differs from what `describe` once said."""
    found, now = [], describe()
    for key in now:
        then = saved.get(key, "(not known)")
        if key == "command":  # How it was called; the config is kept apart.
            continue
        if isinstance(then, Mapping) and isinstance(now[key], Mapping):
            for name in sorted(set(then) | set(now[key])):
                pair = [x.get(name, "(none)") for x in (then, now[key])]
                if name == "XLA_FLAGS":  # Devices are compared by themselves.
                    pair = [_DEVICE_COUNT.sub("", x).strip() or "(none)" for x in pair]
                if pair[0] != pair[1]:
                    found.append(f"{key}.{name}: {pair[0]} -> {pair[1]}")
        elif then != now[key]:
            # Devices of another kind compute otherwise; another number may not.
            kinds = key == "devices" and set(then) != set(now[key])
            name = "device kinds" if kinds else key
            found.append(f"{name}: {then} -> {now[key]}")
    return found


def expected(
    changed: Sequence[str], *, same_bits: bool = False, deterministic: bool = True
) -> Level:
    """Returns what two runs of one config have in common, by what differs.

    Args:
      changed: lines of `differences` and `uncommitted`.
      same_bits: the runs' setting of that name.
      deterministic: likewise.
    """
    elsewhere = [line for line in changed if not line.startswith(_WHERE)]
    if any(not line.startswith(_THREADS) for line in elsewhere):
        return Level.STATISTICAL
    exact = not elsewhere if same_bits else not changed
    if jax.default_backend() == "gpu" and not deterministic:
        exact = False
    return Level.BIT_EXACT if exact else Level.ROUNDING


def doubt(changed: Sequence[str]) -> str:
    """Returns a sentence if `same_bits` cannot be kept where a run is resumed, or "".

    Args:
      changed: lines of `differences` to its start.
    """
    level = expected(changed, same_bits=True)
    if level == Level.BIT_EXACT:
        return ""
    return (
        f"same_bits is True, but from here on expect results that are {level}, since"
        " this is not as at the start of the run:\n  " + "\n  ".join(changed)
    )


def uncommitted() -> list[str]:
    """Says, as `differences` does, that a commit does not describe the source code."""
    if str(_git()).endswith("-dirty"):
        return ["git: the source code has changes that are not committed"]
    return []


def _cores():
    """Returns how many of the processor's cores this process can use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()  # Not on macOS.


def _versions():
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # There is one kind of accelerator, or none.
    return versions


def _git():
    """Returns the commit of the source code, marked if changed, or None."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]

    def ask(*arguments):
        command = [*git, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return done.stdout.strip()

    try:
        if not ask("ls-files", pathlib.Path(__file__).name):
            return None  # Installed, perhaps in a folder of somebody else's repository.
        changed = ask("status", "--porcelain", ":/")
        return ask("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.TimeoutExpired):
        return None
