"""The training's own step, compiled for devices that need not be there."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from cyclegan_jax.core.state import create_pools, create_state
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import devices
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
