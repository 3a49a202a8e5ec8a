"""Lowers the actual training step for devices that need not be present."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from cyclegan_jax.core.state import placeholders
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import pmapped
from cyclegan_jax.runs.experiment import Experiment

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
      UserError: as in the training; or the images' size depends on the data; or the
        step is not a single program.
    """
    if config.same_bits:
        raise UserError(
            "same_bits is True, but the ordinary step is what is planned: add"
            " --config.same_bits=False; docs/reproducibility.md has what it adds."
        )
    experiment = Experiment.of(config)
    size = _image_size(experiment.preprocess)
    experiment.check_accumulate(per_device)
    experiment.check_image_size(size)
    optimizer = experiment.optimizer(experiment.schedule(steps_per_epoch))
    step = pmapped.pmap(experiment.step(optimizer, where[0].platform), where)
    slots = per_device * len(where)
    given = placeholders(experiment.method)
    create = functools.partial(
        experiment.create, optimizer, size, slots=slots, given=given
    )
    state, pools = jax.eval_shape(create)
    batch = {
        domain: jax.ShapeDtypeStruct(
            (slots, *size, pixels.channels), pixels.memory_dtype
        )
        for domain, pixels in (("a", experiment.pixels.a), ("b", experiment.pixels.b))
    }
    if config.loss.keep:  # Masks of both domains, although one may have none.
        batch |= {
            f"mask_{domain}": jax.ShapeDtypeStruct((slots, *size, 1), jnp.bool_)
            for domain in "ab"
        }
    return step.lower(*pmapped.shapes(len(where), per_device, state, pools, batch))


def _image_size(preprocess):
    if not preprocess.mode.endswith("crop"):
        raise UserError(
            f"data.preprocess is {preprocess.mode!r}, where the size of the images"
            " depends on the data; plan with data.preprocess=crop and that size as"
            " data.crop_size."
        )
    return preprocess.crop_size, preprocess.crop_size
