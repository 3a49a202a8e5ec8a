"""How JAX runs in a process: XLA's options, memory, and the cache of programs.

The command-line programs call `configure` before anything touches JAX. In a program of
your own, calling it is optional: it affects speed, and results only by rounding.
"""

import ctypes
import hashlib
import importlib.util
import os
import pathlib
import platform
import sys
import time
from importlib import metadata

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import xla_options

# XLA:CPU hands work to libraries. YNNPACK's sums are much faster than XLA's own, but
# its convolutions are slower than Eigen's: three times for the residual blocks of a
# 256x256 generator. An option named in XLA_FLAGS already stays as it is.
_YNNPACK = "xla_cpu_experimental_ynn_fusion_type"
_XLA_OPTIONS = {_YNNPACK: "reduce"}
# Its products of bfloat16 matrices use the processor's matrix unit, five times as fast
# as XLA's own; those of float32 ones are slower. The networks' convolutions look for
# it: see `core.networks.convolutions.bfloat16`.
_BFLOAT16_LIBRARY = "reduce,individual_dot"
# On CPU-only machines: XLA:CPU expands the optimisation barriers of `remat` before
# common-subexpression elimination, which then undoes the rematerialisation.
_CPU_OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
V6E = "TPU v6 lite"  # JAX's name of the chip.
LIBTPU = "libtpu>=0.0.43.2,<0.1"  # As in pyproject.toml.
_KEEP_DAYS = 60
_given_flags: str | None = None  # XLA_FLAGS before `configure`.


def configure(cache: str | None = None) -> None:
    """Sets up this process; call it before the first use of a JAX device.

    Args:
      cache: folder where compiled programs are kept between runs, `~` allowed; None or
        "" for none. JAX's own JAX_COMPILATION_CACHE_DIR comes first.

    Raises:
      UserError: XLA_FLAGS has what the installed XLA does not accept.
    """
    global _given_flags
    flags = _given_flags = os.environ.get("XLA_FLAGS", "")
    options = _XLA_OPTIONS if _has_accelerator() else _XLA_OPTIONS | _CPU_OPTIONS
    xla_options.check_given()
    added = [f"--{k}={v}" for k, v in options.items() if k not in flags]
    os.environ["XLA_FLAGS"] = " ".join([flags, *xla_options.accepted(added)]).strip()
    _keep_freed_memory()
    if cache and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        _use_cache(pathlib.Path(files.as_path(cache)) / processor())


def compute_in(dtype: str) -> None:
    """Chooses the library for products in this type; call it before JAX's first use.

    Without `configure`, where the user has chosen, and on processors without a matrix
    unit for bfloat16, it does nothing.

    Args:
      dtype: a run's `compute_dtype`.
    """
    chosen_here = _given_flags is not None and _YNNPACK not in _given_flags
    if dtype == "bfloat16" and chosen_here and _has_matrix_unit():
        ours = f"--{_YNNPACK}={_XLA_OPTIONS[_YNNPACK]}"
        better = f"--{_YNNPACK}={_BFLOAT16_LIBRARY}"
        if xla_options.accepts(better):
            flags = os.environ["XLA_FLAGS"].split()
            flags = [better if flag == ours else flag for flag in flags]
            os.environ["XLA_FLAGS"] = " ".join(flags)


def fix_threads() -> None:
    """Fixes the size of XLA:CPU's thread pool; call it before JAX's first use.

    By default it is the larger of the processor's cores and the devices, and the blocks
    in which Eigen sums depend on it. A size that the user has chosen (NPROC) stays.

    Raises:
      UserError: JAX has been used in this process, and its pool has another size.
    """
    if "NPROC" in os.environ:
        return
    if _is_jax_in_use():
        raise UserError(
            "same_bits is True, but JAX was used in this process before, and its thread"
            " pool has the size of this machine: train in a process of its own, or set"
            " NPROC=8 before Python starts."
        )
    os.environ["NPROC"] = "8"


def check_threads(devices: int) -> None:
    """Checks that XLA:CPU's thread pool has the size that `fix_threads` gave it.

    Args:
      devices: of this process.

    Raises:
      UserError: it is larger, since every device has a thread.
    """
    threads = os.environ.get("NPROC", "")
    if threads.isdecimal() and devices > int(threads):
        raise UserError(
            f"same_bits is True and NPROC is {threads}, but this process has"
            f" {devices} devices, for which XLA makes as many threads; bits depend on"
            f" their number: set NPROC={devices} for this run wherever it is resumed,"
            " or use --devices or more processes."
        )


def environment_elsewhere() -> dict[str, str]:
    """Returns the environment for a child that compiles for another platform.

    Every compiler in a process reads XLA_FLAGS, and the options that this module adds
    are for CPUs: libtpu fails without the passes that they disable.
    """
    environment = dict(os.environ)
    if _given_flags is not None:
        environment["XLA_FLAGS"] = _given_flags
    return environment


def libtpu_version() -> str | None:
    """Returns the version of libtpu, the compiler for TPUs; None if not installed."""
    try:
        return metadata.version("libtpu")
    except metadata.PackageNotFoundError:
        return None


def check_compiler(device_kind: str) -> None:
    """Refuses a device whose installed compiler crashes on generators with a norm.

    Args:
      device_kind: as JAX names it.

    Raises:
      UserError: it does.
    """
    version = libtpu_version() or ""
    if device_kind == V6E and version.startswith("0.0.42"):
        raise UserError(
            f"libtpu {version} crashes when it compiles these networks for {V6E}"
            f' (v6e); install another version: pip install "{LIBTPU}".'
        )


def _has_matrix_unit():
    try:
        return "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _is_jax_in_use():
    if "jax" not in sys.modules:
        return False
    from jax._src import xla_bridge  # There is no public way to ask.

    return xla_bridge.backends_are_initialized()


def _has_accelerator():
    """Whether JAX may find one; asking JAX itself would freeze XLA_FLAGS."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return bool(metadata.entry_points(group="jax_plugins")) or bool(
        importlib.util.find_spec("libtpu")
    )


def default_cache() -> str:
    """The folder for compiled programs, or "" where there is no home for it."""
    try:
        return str(files.cache_folder() / "programs")
    except UserError:
        return ""


def describe_cache() -> str:
    """Says where compiled programs are kept."""
    import jax

    # JAX adds its options to the class when it is imported.
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if not folder:
        return "compiled for this run alone"
    return f"compiled ones are kept in {folder}"


def _use_cache(folder):
    import jax  # Takes a second, which a program that only prints help can spare.

    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_old(folder)
    except OSError:  # No home to write to: compile every time.
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Cache small programs, too: there are dozens, each a fraction of a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _remove_old(folder):
    oldest = time.time() - _KEEP_DAYS * 86400
    for file in folder.iterdir():
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)


def processor() -> str:
    """Returns a name of the kind of processor, by its model and instructions."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    kind = sorted({x for x in lines if x.startswith(("model name", "flags"))})
    return f"{platform.machine()}-{hashlib.sha256(repr(kind).encode()).hexdigest()[:8]}"


def give_back_memory() -> None:
    """Gives free memory back to the system, which is kept after `configure` (glibc)."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _keep_freed_memory():
    """Keeps freed memory in the process, where the C library is glibc.

    XLA:CPU allocates the whole working memory of a step, some GB, and frees it after
    the step. By default glibc gives it back to the system, and getting it again costs a
    page fault every 4 KiB: about a tenth of a step.
    """
    if libc := _glibc():
        m_trim_threshold, m_mmap_max = -1, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)


def _glibc():
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
