"""The training's own step, compiled for devices that need not be there."""

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from jax.experimental import topologies

from cyclegan_jax.core.state import create_pools, create_state
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import devices
from cyclegan_jax.plan import chips
from cyclegan_jax.runs import experiment
from cyclegan_jax.training import trainer

# Any number: the length of an epoch is a constant in the learning rate's rule, and the
# data set need not be there.
_STEPS_PER_EPOCH = 1000


def lower(
    config: ml_collections.ConfigDict,
    where: Sequence[Any],
    per_device: int,
    *,
    steps_per_epoch: int = _STEPS_PER_EPOCH,
) -> jax.stages.Lowered:
    """Traces the step that `train.py` would run on these devices; allocates nothing.

    Args:
      config: of the run; its `batch_size` is not read.
      where: the devices; a topology's will do.
      per_device: images of each domain on a device, in a step.
      steps_per_epoch: of the data set.

    Raises:
      UserError: as in the training; or the images' size depends on the data.
    """
    method = experiment.build_method(config)
    size = _image_size(config, method)
    trainer.check_accumulate(config.accumulate, per_device)
    trainer.check_image_size(method, size)
    schedule = experiment.build_schedule(config, steps_per_epoch)
    optimizer = experiment.build_optimizer(config, schedule)
    step = devices.pmap(experiment.build_step(config, method, optimizer), where)

    state = functools.partial(
        create_state,
        method,
        optimizer,
        size,
        config.seed,
        ema=config.ema_decay > 0,
    )
    slots = per_device * len(where)
    pools = functools.partial(create_pools, method, slots, config.pool_size, size)
    channels = {"a": config.data.channels_a, "b": config.data.channels_b}
    batch = {
        domain: jax.ShapeDtypeStruct((slots, *size, count), jnp.uint8)
        for domain, count in channels.items()
    }
    batch["slot"] = jax.ShapeDtypeStruct((slots,), jnp.int32)

    def split(x):
        shape = (len(where), per_device, *x.shape[1:])
        return jax.ShapeDtypeStruct(shape, x.dtype)

    return step.lower(
        jax.eval_shape(state),
        jax.tree.map(split, jax.eval_shape(pools)),
        jax.tree.map(split, batch),
        jax.ShapeDtypeStruct((), jnp.uint32),
    )


def _image_size(config, method):
    preprocess = experiment.build_preprocess(config, method)
    if not preprocess.mode.endswith("crop"):
        raise UserError(
            f"data.preprocess is {preprocess.mode!r}, where the size of the images"
            " depends on the data; plan with data.preprocess=crop and that size as"
            " data.crop_size."
        )
    return preprocess.crop_size, preprocess.crop_size


def local_devices(platform: str) -> list[Any]:
    """Returns this machine's devices of a platform, cpu or gpu.

    Raises:
      UserError: it has none.
    """
    try:
        return jax.devices(platform)
    except RuntimeError as error:
        raise UserError(
            f"--topology={platform}: JAX finds no such device here."
        ) from error


def slice_devices(where: chips.Slice) -> list[Any]:
    """Returns the devices of a TPU slice, to compile for.

    Raises:
      UserError: libtpu is missing, or knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "compiling for TPUs needs libtpu; install it with"
            f' pip install "{_libtpu_requirement()}".'
        )
    options = {}
    if where.chip.name in ("v4", "v5p"):
        options["chip_config_name"] = "megacore"  # A chip's two cores are one device.
    if where.count == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        with _without_hardware(where.chip.name):
            found = topologies.get_topology_desc(where.name, "tpu", **options)
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):
            raise
        raise chips.unknown(where.name) from error
    return list(found.devices)


@contextlib.contextmanager
def _without_hardware(kind: str) -> Iterator[None]:
    """Tells libtpu not to look for TPUs, nor for the service that describes them."""
    names = {"v5e": "v5litepod-4", "v6e": "v6e-4", "v4": "v4-8", "v5p": "v5p-8"}
    settings = {
        "TPU_ACCELERATOR_TYPE": names[kind],
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_SKIP_MDS_QUERY": "1",
        # Several processes may compile at once, as none of them touches a TPU.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_LOG_DIR": "disabled",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _libtpu_requirement():
    """The libtpu that the installed JAX is made for, as pip wants it."""
    for requirement in metadata.requires("jax") or ():
        if requirement.startswith("libtpu"):
            return requirement.partition(";")[0].strip()
    return "libtpu"


def local_memory(found: Sequence[Any]) -> int:
    """Returns the bytes of memory of each device; CPUs share those of the machine."""
    stats = found[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // len(found)
