"""Which processes a job has, by what its launcher sets."""

import os
import re
import socket
import sys

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.joining import addresses, is_here

# Environment variables in which launchers state the number of a job's processes.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
ALONE = "with --nodetect_hosts this process runs alone"
_OPEN_MPI_4 = "OMPI_MCA_orte_hnp_uri"  # By which JAX knows it, and finds process 0.


def detect(timeout: float) -> tuple[str, int, int, list[int] | None] | None:
    """Looks for Cloud TPU, GKE, Slurm and Open MPI, as JAX does.

    Args:
      timeout: seconds to wait for the environment's own services.

    Returns:
      HOST:PORT of process 0, the number of processes, this one's, and its devices
      (None: all of the host); or None where it is on its own.

    Raises:
      UserError: there is a cluster environment, but its processes cannot be determined.
    """
    # There is no public name for it; `jax.distributed.initialize` uses it.
    from jax._src import clusters

    _describe_open_mpi_5()
    try:
        address, num, me, devices = (
            clusters.ClusterEnv.auto_detect_unset_distributed_params(
                os.environ.get("JAX_COORDINATOR_ADDRESS"),
                None,
                None,
                _own_devices(),
                None,
                int(timeout),
            )
        )
    except (ValueError, LookupError, RuntimeError, OSError) as error:
        raise UserError(
            f"cannot determine the other processes of this job ({error}); {ALONE}."
        ) from error
    if address is None or num is None or me is None:
        _check_alone()
        return None
    _check_first_host(address, me)
    return address, num, me, None if devices is None else list(devices)


def _describe_open_mpi_5():
    """Describes a job of Open MPI 5 as Open MPI 4 would, which JAX understands.

    The new launcher, PRRTE, calls a job prterun-HOST-PID@NUMBER, by the host and the
    process of `mpirun`. JAX takes the host's name or address from what Open MPI 4 sets,
    and a port from the number before the dot, a multiple of 4096.
    """
    job = re.fullmatch(r"prterun-(.+)-(\d+)@\d+", os.environ.get("PMIX_NAMESPACE", ""))
    if job and "OMPI_COMM_WORLD_RANK" in os.environ and _OPEN_MPI_4 not in os.environ:
        host, number = job[1], int(job[2]) * 4096
        os.environ[_OPEN_MPI_4] = f"{number}.0;tcp://{host}:0"


def _check_first_host(address, me):
    """Raises if process 0 of Open MPI is not where JAX believes, beside `mpirun`."""
    if me or _OPEN_MPI_4 not in os.environ or "JAX_COORDINATOR_ADDRESS" in os.environ:
        return
    host = address.rpartition(":")[0]
    if not any(map(is_here, addresses(host, "the host of mpirun"))):
        raise UserError(
            f"process 0 is on {socket.gethostname()}, but mpirun on {host}: start"
            " mpirun on the job's first host, or tell it -x"
            f" JAX_COORDINATOR_ADDRESS={socket.gethostname()}:PORT with a free port."
        )


def _own_devices():
    text = os.environ.get("JAX_LOCAL_DEVICE_IDS")
    return [int(number) for number in text.split(",")] if text else None


def _check_alone():
    """Warns or raises if a launcher seems to have started several processes."""
    for name in _SIZES:
        text = os.environ.get(name, "")
        if not text.isdecimal() or int(text) < 2:
            continue
        if name == "SLURM_NTASKS" and "SLURM_STEP_ID" not in os.environ:
            print(
                f"warning: this Slurm job has {text} tasks, and this process works"
                " alone: start it with srun to use all of them.",
                file=sys.stderr,
            )
            return
        raise UserError(
            f"{name} is {text}, but JAX does not find the other processes: give"
            f" --coordinator, --num_processes and --process_id; {ALONE}."
        )
