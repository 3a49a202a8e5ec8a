"""From a config to the things it describes; with loop.py, all that reads a config."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import ml_collections
import optax

from cyclegan_jax import data, losses, networks, schedules
from cyclegan_jax.devices import AXIS
from cyclegan_jax.errors import UserError
from cyclegan_jax.methods.cyclegan import CycleGAN, LossWeights

METHODS = ("cyclegan",)
DTYPES = ("float32", "bfloat16")


def load_dataset(config: ml_collections.ConfigDict) -> data.Dataset:
    """Opens the data set of a config; see `data.load_dataset` for the errors."""
    d = config.data
    splits = ("train_a", "train_b", "test_a", "test_b")
    return data.load_dataset(
        d.dataset,
        path=d.path,
        data_dir=d.data_dir,
        folders={split: d[split] for split in splits if d[split]} or None,
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        on_corrupt=d.on_corrupt,
        max_images=d.max_images,
        streets_size=d.streets_size,
        streets_train_count=d.streets_train,
        streets_test_count=d.streets_test,
        streets_seed=d.streets_seed,
    )


def build_preprocess(config: ml_collections.ConfigDict, method: Any) -> data.Preprocess:
    """Returns how images become training images of the size the networks need."""
    d = config.data
    return data.Preprocess(
        mode=d.preprocess,
        load_size=d.load_size,
        crop_size=d.crop_size,
        flip=d.flip,
        multiple=method.generator_ab.size_multiple,
    )


def build_method(config: ml_collections.ConfigDict) -> CycleGAN:
    """Builds the networks and losses of a config.

    Raises:
      UserError: a name or a number is not one that the method knows.
    """
    _check_choices(config)
    d = config.data
    dtype = {"dtype": jnp.dtype(config.compute_dtype), "axis_name": AXIS}

    def generator(channels):
        settings = dict(config.generator) | dtype | {"channels": channels}
        return networks.generator(**settings, remat=config.remat)

    def discriminator():
        return networks.discriminator(**config.discriminator, **dtype)

    method = CycleGAN(
        generator_ab=generator(d.channels_b),
        generator_ba=generator(d.channels_a),
        discriminator_a=discriminator(),
        discriminator_b=discriminator(),
        channels_a=d.channels_a,
        channels_b=d.channels_b,
        weights=_weights(config),
        gan_mode=config.loss.gan_mode,
    )
    smallest = method.discriminator_a.smallest_size
    if config.loss.gan and d.crop_size < smallest:
        raise UserError(
            f"data.crop_size is {d.crop_size}, but this discriminator needs images of"
            f" at least {smallest} pixels a side; use fewer layers or larger images."
        )
    return method


def identity_is_impossible(config: ml_collections.ConfigDict) -> bool:
    """Whether the identity loss is asked for, but the domains' channels differ.

    A generator then cannot take images of its own output domain.
    """
    return bool(config.loss.identity) and (
        config.data.channels_a != config.data.channels_b
    )


def _weights(config):
    names = [field.name for field in dataclasses.fields(LossWeights)]
    weights = {name: config.loss[name] for name in names}
    for name, value in weights.items():
        if value < 0:
            raise UserError(f"loss.{name} is {value}; a weight cannot be negative.")
    if identity_is_impossible(config):
        weights["identity"] = 0.0
    if not (weights["gan"] or weights["cycle_a"] or weights["cycle_b"]):
        raise UserError(
            "loss.gan, loss.cycle_a and loss.cycle_b are all 0: nothing to train."
        )
    return LossWeights(**weights)


def build_schedule(
    config: ml_collections.ConfigDict, steps_per_epoch: int
) -> optax.Schedule:
    """Returns the learning rate as a function of the number of finished steps."""
    o = config.optimizer
    return schedules.learning_rate(
        o.policy,
        initial=o.learning_rate,
        steps_per_epoch=steps_per_epoch,
        constant_epochs=o.constant_epochs,
        decay_epochs=o.decay_epochs,
        step_epochs=o.step_epochs,
    )


def build_optimizer(
    config: ml_collections.ConfigDict, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Returns the Adam of a config, to be applied to each network by itself."""
    o = config.optimizer
    return optax.adam(schedule, b1=o.beta1, b2=o.beta2)


def total_steps(config: ml_collections.ConfigDict, steps_per_epoch: int) -> int:
    """Returns how many steps a run has."""
    o = config.optimizer
    steps = (o.constant_epochs + o.decay_epochs) * steps_per_epoch
    return min(steps, config.max_steps) if config.max_steps else steps


def _check_choices(config):
    for setting, value, known in (
        ("method", config.method, METHODS),
        ("compute_dtype", config.compute_dtype, DTYPES),
        ("loss.gan_mode", config.loss.gan_mode, losses.GAN_MODES),
        ("optimizer.policy", config.optimizer.policy, schedules.POLICIES),
        ("data.sample_b", config.data.sample_b, ("random", "shuffle")),
    ):
        if value not in known:
            raise UserError(f"{setting} is {value!r}; it can be {', '.join(known)}.")
    if config.seed < 0:
        raise UserError(f"seed is {config.seed}; it must be 0 or more.")
