"""Builds and checks what a config describes, in one place."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import ml_collections
import optax

from cyclegan_jax import data, images
from cyclegan_jax.core import optimizers, schedules, steps
from cyclegan_jax.core.methods import interface, registry
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.state import TrainState, create_pools, create_state
from cyclegan_jax.data import masks
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.pmapped import AXIS
from cyclegan_jax.metrics.meanings import check_metric
from cyclegan_jax.runs import configuration
from cyclegan_jax.torch_files import published


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A config and everything derived from it; no state, no folder, no device.

    Attributes:
      config: the settings.
      method: the networks, the losses and the order of the updates.
      preprocess: how images become training images of the size the networks need.
      pixels: "a" and "b" -> how their images are stored.
      better: `min` or `max`, whichever is better for `best_metric`; None without one.
    """

    config: ml_collections.ConfigDict
    method: Method
    preprocess: data.Preprocess
    better: Callable | None
    pixels: images.DomainPixels

    @classmethod
    def of(cls, config: ml_collections.ConfigDict) -> "Experiment":
        """Builds what a config describes.

        Raises:
          UserError: a setting has an invalid value, or conflicts with another.
        """
        method = build_method(config)
        optimizers.relative_rate(config.optimizer)
        better = None
        if config.best_metric:
            better = check_metric("best_metric", config.best_metric)
            if config.best_metric.partition("/")[0] not in method.translations:
                raise UserError(
                    f"best_metric is {config.best_metric}, but this {config.method}"
                    f" translates {', '.join(method.translations)} only."
                )
        preprocess = data.Preprocess(
            mode=config.data.preprocess,
            load_size=config.data.load_size,
            crop_size=config.data.crop_size,
            flip=config.data.flip,
            multiple=interface.size_multiple(method),
        )
        pixels = images.DomainPixels(*(data.declared(config.data, d) for d in "ab"))
        return cls(config, method, preprocess, better, pixels)

    def dataset(
        self, path: str = "", splits: Collection[str] = data.SPLITS
    ) -> data.Dataset:
        """Opens the data set; see `data.open_dataset` for the errors.

        Args:
          path: where the data are, if they have moved.
          splits: the splits to open.
        """
        return load_dataset(self.config, path, splits)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Returns the number of steps of a run.

        Raises:
          UserError: it is 0.
        """
        o = self.config.optimizer
        total = (o.constant_epochs + o.decay_epochs) * steps_per_epoch
        if not total:
            raise UserError(
                "optimizer.constant_epochs and optimizer.decay_epochs are both 0: there"
                " is nothing to train."
            )
        return min(total, self.config.max_steps or total)

    def schedule(self, steps_per_epoch: int) -> optax.Schedule:
        """Returns the learning rate as a function of the number of finished steps."""
        o = self.config.optimizer
        return schedules.learning_rate(
            o.policy,
            initial=o.learning_rate,
            steps_per_epoch=steps_per_epoch,
            constant_epochs=o.constant_epochs,
            decay_epochs=o.decay_epochs,
            step_epochs=o.step_epochs,
        )

    def optimizer(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """Returns Adam, to be applied to each network separately."""
        return optimizers.adam(schedule, self.config.optimizer)

    def step(self, optimizer: optax.GradientTransformation, platform: str) -> Callable:
        """Returns a step of one device of a platform: (state, pools, ...) -> ..."""
        return functools.partial(
            steps.train_step,
            method=self.method,
            optimizer=optimizer,
            axis_name=AXIS,
            accumulate=self.config.accumulate,
            ema_decay=self.config.ema_decay,
            pixels=self.pixels,
            few_passes=platform == "gpu",
        )

    def create(
        self,
        optimizer: optax.GradientTransformation,
        image_size: tuple[int, int],
        *,
        slots: int,
        local_slots: int | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> tuple[TrainState, dict[str, Any]]:
        """Returns a fresh training state and empty pools.

        Args:
          optimizer: see `optimizer`.
          image_size: height and width of the training images.
          slots: of the global batch.
          local_slots: the slots whose pools are created; by default all.
          given: network name -> parameters that it starts from; see `create_state`.
        """
        state = create_state(
            self.method,
            optimizer,
            image_size,
            self.config.seed,
            ema=self.config.ema_decay > 0,
            given=given,
        )
        pools = create_pools(
            self.method,
            slots,
            self.config.pool_size,
            image_size,
            local_slots=local_slots,
        )
        return state, pools

    def check_accumulate(self, per_device: int) -> None:
        """Checks that a device's share of a batch can be split by `accumulate`.

        Raises:
          UserError: it cannot.
        """
        parts = self.config.accumulate
        if self.config.same_bits and parts > 1:
            raise UserError(
                f"accumulate is {parts}, but with same_bits every image of a batch is"
                " computed by itself already: leave accumulate at 1."
            )
        if per_device % parts:
            raise UserError(
                f"accumulate is {parts}, but each device has {per_device} images of a"
                " batch; use a divisor of that."
            )

    def check_image_size(self, image_size: tuple[int, int]) -> None:
        """Checks that images of this height and width are large enough.

        Raises:
          UserError: they are not.
        """
        smallest = interface.smallest_size(self.method)
        if min(image_size) < smallest:
            raise UserError(
                f"the images have {image_size[1]}x{image_size[0]} pixels, but these"
                f" networks need at least {smallest} pixels a side; use fewer"
                " layers or larger images."
            )

    def pretrained_parameters(self) -> dict[str, Any]:
        """Returns what `create_state` is given: network name -> parameters or "random".

        Raises:
          UserError: a file is missing, damaged, or another one than it should be.
        """
        sources = registry.METHODS[self.config.method].pretrained(self.config)
        return {
            name: source if isinstance(source, str) else published.parameters(source)
            for name, source in sources.items()
        }


def load_dataset(
    config: ml_collections.ConfigDict,
    path: str = "",
    splits: Collection[str] = data.SPLITS,
) -> data.Dataset:
    """Opens the data set of a config; see `data.open_dataset` for the errors.

    Args:
      config: of a run.
      path: where the data are, if they have moved.
      splits: the splits to open.
    """
    return data.open_dataset(data.DataSettings.of(config.data, path), splits=splits)


def build_method(config: ml_collections.ConfigDict) -> Method:
    """Builds the networks and losses of a config.

    Raises:
      UserError: a setting has an invalid value, or conflicts with another.
    """
    configuration.check(config)
    method = registry.METHODS[config.method].build(config, AXIS)
    if method.paired != config.data.paired:
        how = "from" if method.paired else "without"
        raise UserError(
            f"method {config.method} learns {how} pairs: set"
            f" config.data.paired={method.paired} (docs/data.md has what pairs are), or"
            " another config.method."
        )
    _check_options(config, method)
    return method


def _check_options(config, method):
    for name in ("keep", "structure"):  # Off by default, and not for all methods.
        if config.loss[name] and name not in interface.settings(method):
            raise UserError(
                f"loss.{name} is {config.loss[name]}, but method {config.method} has no"
                " such term; cyclegan has."
            )
    keep = config.loss.keep
    if keep and not config.data.masks:
        raise UserError(
            f"loss.keep is {keep}, but data.masks is empty, which says what masks keep:"
            f" set config.data.masks={masks.NONZERO} (docs/data.md has more)."
        )
