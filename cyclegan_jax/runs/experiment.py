"""From a config to the things it describes; trainer.py is the other reader of it."""

import functools
import math
from collections.abc import Callable, Collection
from typing import Any

import ml_collections
import optax
from etils import epath

from cyclegan_jax import data, torch_files
from cyclegan_jax.core import losses, schedules, steps
from cyclegan_jax.core.methods import pix2pix
from cyclegan_jax.core.methods import registry as builders
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.networks import vgg
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.devices import AXIS
from cyclegan_jax.torch_files.download import file_sha256

DTYPES = ("float32", "bfloat16")


def load_dataset(
    config: ml_collections.ConfigDict,
    path: str = "",
    splits: Collection[str] = data.SPLITS,
) -> data.Dataset:
    """Opens the data set of a config; see `data.open_dataset` for the errors.

    Args:
      config: of a run.
      path: where the data lie, if not where the config says.
      splits: those that are needed.
    """
    settings = data.DataSettings.of(config.data, path)
    return data.open_dataset(settings, splits=splits)


def build_preprocess(
    config: ml_collections.ConfigDict, method: Method
) -> data.Preprocess:
    """Returns how images become training images of the size the networks need."""
    d = config.data
    return data.Preprocess(
        mode=d.preprocess,
        load_size=d.load_size,
        crop_size=d.crop_size,
        flip=d.flip,
        multiple=method.size_multiple,
    )


def build_method(config: ml_collections.ConfigDict) -> Method:
    """Builds the networks and losses of a config.

    Raises:
      UserError: a name or a number is not one that the method knows.
    """
    _check_choices(config)
    method = builders.METHODS[config.method](config, AXIS)
    if method.paired and not config.data.paired:
        raise UserError(
            f"method {config.method} learns from pairs: set config.data.paired=True,"
            " with data whose images of A and B belong together (see docs/data.md)."
        )
    if config.data.paired and not method.paired:
        raise UserError(
            f"method {config.method} learns without pairs: set"
            " config.data.paired=False, or another config.method."
        )
    return method


def pretrained_parameters(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Returns network name -> parameters, of networks that a method takes as they are.

    Raises:
      UserError: the file is missing, damaged, or another one than it should be.
    """
    loss = config.loss
    if config.method != "feature_gan" or loss.vgg == "random":
        return {}
    path = epath.Path(loss.vgg).expanduser()
    state_dict = torch_files.read(path)
    found = file_sha256(path)
    if not found.startswith(loss.vgg_sha256.lower()):
        raise UserError(
            f"{loss.vgg} has the SHA-256 {found}, which does not begin with"
            f" {loss.vgg_sha256} (config.loss.vgg_sha256)."
        )
    return {"vgg": vgg.from_torch(state_dict, loss.vgg)}


def build_saved_method(
    config: ml_collections.ConfigDict, workdir: epath.PathLike
) -> Method:
    """Builds the networks of a run's config.json, which may come from a stranger.

    Raises:
      UserError: settings are missing, of another kind, or out of range.
    """
    try:
        return build_method(config)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as e:
        reason = f"{type(e).__name__}: {e}".split("\n")[0]
        raise UserError(
            f"{workdir}/config.json describes no networks that can be built ({reason})."
        ) from e


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
    adam = optax.adam(schedule, b1=o.beta1, b2=o.beta2)
    if not o.weight_decay:
        return adam
    return optax.chain(optax.add_decayed_weights(o.weight_decay), adam)


def build_step(
    config: ml_collections.ConfigDict,
    method: Method,
    optimizer: optax.GradientTransformation,
) -> Callable:
    """Returns what one device does in a step: (state, pools, batch, seed) -> ..."""
    return functools.partial(
        steps.train_step,
        method=method,
        optimizer=optimizer,
        axis_name=AXIS,
        accumulate=config.accumulate,
        ema_decay=config.ema_decay,
    )


def total_steps(config: ml_collections.ConfigDict, steps_per_epoch: int) -> int:
    """Returns how many steps a run has."""
    o = config.optimizer
    steps = (o.constant_epochs + o.decay_epochs) * steps_per_epoch
    if not steps:
        raise UserError(
            "optimizer.constant_epochs and optimizer.decay_epochs are both 0: there is"
            " nothing to train."
        )
    return min(steps, config.max_steps) if config.max_steps else steps


def _check_choices(config):
    for setting, value, known in (
        ("method", config.method, builders.METHODS),
        ("compute_dtype", config.compute_dtype, DTYPES),
        ("loss.gan_mode", config.loss.gan_mode, losses.GAN_MODES),
        ("optimizer.policy", config.optimizer.policy, schedules.POLICIES),
        ("data.sample_b", config.data.sample_b, ("random", "shuffle")),
        ("direction", config.direction, DIRECTIONS),
        ("test_statistics", config.test_statistics, pix2pix.STATISTICS),
    ):
        if value not in known:
            raise UserError(f"{setting} is {value!r}; it can be {', '.join(known)}.")
    _check_ranges(config)


# Lowest and highest values; what is not here is checked where it is used.
_RANGES = {
    "seed": (0, 2**32 - 1),
    "pool_size": (0, math.inf),
    "ema_decay": (0, 1),
    "data.max_images": (0, math.inf),
    "data.cache_gib": (0, math.inf),
    "generator.width": (1, math.inf),
    "generator.init_gain": (0, math.inf),
    "discriminator.width": (1, math.inf),
    "discriminator.init_gain": (0, math.inf),
    "loss.gan": (0, math.inf),
    "loss.cycle_a": (0, math.inf),
    "loss.cycle_b": (0, math.inf),
    "loss.identity": (0, math.inf),
    "loss.gradient_penalty": (0, math.inf),
    "loss.l1": (0, math.inf),
    "loss.content": (0, math.inf),
    "loss.vgg_size": (8, math.inf),
    "cogan.latent_size": (1, math.inf),
    "cogan.inversion_steps": (0, math.inf),
    "cogan.inversion_rate": (0, math.inf),
    "optimizer.learning_rate": (0, math.inf),
    "optimizer.beta1": (0, 1),
    "optimizer.beta2": (0, 1),
    "optimizer.weight_decay": (0, math.inf),
    "optimizer.constant_epochs": (0, math.inf),
    "optimizer.decay_epochs": (0, math.inf),
    "optimizer.step_epochs": (1, math.inf),
    "max_steps": (0, math.inf),
    "log_every_steps": (1, math.inf),
    "sample_every_steps": (0, math.inf),
    "evaluate_every_steps": (0, math.inf),
    "num_samples": (1, math.inf),
    "checkpoint_every_steps": (0, math.inf),
    "keep_checkpoints": (1, math.inf),
    "keep_every_steps": (0, math.inf),
}


def _check_ranges(config):
    for name, (low, high) in _RANGES.items():
        value = functools.reduce(lambda part, key: part[key], name.split("."), config)
        if not low <= value <= high:
            limit = f" to {high}" if high < math.inf else " or more"
            raise UserError(f"{name} is {value}; it must be {low}{limit}.")
