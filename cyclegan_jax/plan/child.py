"""Compiles one setting in a subprocess.

A compiler that crashes ends its process, and all compilers in a process read the same
environment variables. The parent imports JAX, but uses none of its devices.
"""

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any

import ml_collections

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime
from cyclegan_jax.plan import chips, targets


def compile_setting(
    config: ml_collections.ConfigDict, topology: str, per_device: int, cache: str
) -> dict[str, Any]:
    """Compiles the training step of a config, unless its cost is remembered.

    Args:
      config: as for `program.lower`.
      topology: see `targets.parse`.
      per_device: images of each domain on a device, in a step.
      cache: folder of remembered costs, or "".

    Returns:
      `title`, `count`, `memory` and `usable` of the devices, and `cost`, the fields of
      `cost.Cost`.

    Raises:
      UserError: a mistake in the config or the topology; or the compiler failed.
    """
    request = {
        "config": config.to_dict(),
        "topology": topology,
        "per_device": per_device,
        "cache": cache,
    }
    with tempfile.TemporaryDirectory() as folder:
        answer = pathlib.Path(folder, "answer.json")
        ended = subprocess.run(
            [sys.executable, "-m", "cyclegan_jax.plan.child", str(answer)],
            input=json.dumps(request),
            env=targets.environment(targets.parse(topology)),
            stderr=subprocess.PIPE,
            text=True,
        )
        if not answer.exists():
            raise _failed(topology, per_device, ended)
        result = json.loads(answer.read_text())
    if "error" in result:
        raise UserError(result["error"])
    return result


def _failed(topology, per_device, ended):
    if ended.returncode > 0:  # A traceback: a mistake of ours.
        return RuntimeError(f"planning failed:\n{ended.stderr}")
    name = signal.Signals(-ended.returncode).name
    return UserError(
        f"the compiler crashed ({name}) on {per_device} image(s) a device of"
        f" {topology}; another version of it may not: {_compiler(topology)}."
    )


def _compiler(topology):
    where = targets.parse(topology)
    if isinstance(where, chips.Slice):
        return f"this is libtpu {runtime.libtpu_version()}"
    return "see pip list for jaxlib's and its plugins'"


def _answer(request):
    import jax

    from cyclegan_jax.machine import environment, xla_options
    from cyclegan_jax.plan import cost, program

    config = ml_collections.ConfigDict(request["config"])
    if request["topology"] in targets.LOCAL:
        runtime.configure()
        runtime.compute_in(config.compute_dtype)
    environment.make_deterministic(config.deterministic)
    try:
        target = targets.find(request["topology"])
        lowered = program.lower(config, target.devices, request["per_device"])
        platform, images = target.devices[0].platform, request["per_device"]
        found = cost.cached(
            lowered,
            target.title,
            config.accumulate,
            request["cache"] or None,
            xla_options.of_networks(platform, images // config.accumulate),
        )
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the compiler refuses this program: {reason}") from error
    return {
        "title": target.title,
        "count": len(target.devices),
        "memory": target.memory,
        "usable": target.usable,
        "cost": dataclasses.asdict(found),
    }


def main() -> None:
    """Reads a request from standard input, and writes the answer where told."""
    try:
        answer = _answer(json.load(sys.stdin))
    except UserError as error:
        answer = {"error": str(error)}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
