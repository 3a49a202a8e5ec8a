"""A finished, running or imported run, loaded to use its networks."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import ml_collections
from etils import epath

from cyclegan_jax import data
from cyclegan_jax.core.methods.interface import Method, Translation
from cyclegan_jax.core.state import variables_of
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import folder, storage
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.choosing import list_steps
from cyclegan_jax.runs.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Run:
    """A run at one of its checkpoints.

    Attributes:
      workdir: the run's folder.
      experiment: what its config describes.
      step: of the checkpoint.
      variables: network name -> what `module.apply` takes.
    """

    workdir: epath.Path
    experiment: Experiment
    step: int
    variables: dict[str, dict[str, Any]]

    @classmethod
    def load(
        cls, workdir: epath.PathLike, step: int | None = None, *, average: bool = True
    ) -> "Run":
        """Loads the networks of a run.

        Args:
          workdir: the run's folder.
          step: of a checkpoint; None for the newest.
          average: use averaged (EMA) generators where they exist.

        Raises:
          UserError: there is no run, no such checkpoint, or it cannot be read.
        """
        steps = list_steps(workdir)
        step = steps[-1] if step is None else step
        if step not in steps:
            known = ", ".join(map(str, steps))
            raise UserError(
                f"{workdir} has no checkpoint of step {step}, but of {known}."
            )
        workdir = storage.locate(workdir)
        experiment = open_experiment(workdir)
        with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            weights = checkpoints.load_weights(step, device)
        averages = weights["ema_params"] if average else {}
        variables = variables_of(weights["params"], averages, weights["norm_stats"])
        return cls(workdir, experiment, step, variables)

    @property
    def config(self) -> ml_collections.ConfigDict:
        """The run's settings."""
        return self.experiment.config

    @property
    def method(self) -> Method:
        """The run's networks and losses."""
        return self.experiment.method

    @property
    def translations(self) -> dict[str, Translation]:
        """Direction -> how it translates, where the run has the networks for it."""
        return {
            direction: translation
            for direction, translation in self.method.translations.items()
            if set(translation.networks) <= set(self.variables)
        }

    def translation(self, direction: str) -> Translation:
        """Returns how the run translates AtoB or BtoA.

        Raises:
          UserError: there is no such direction, or the run does not have it.
        """
        if direction not in DIRECTIONS:
            raise UserError(f"direction {direction!r} is not AtoB or BtoA.")
        if direction not in self.translations:
            known = ", ".join(self.translations) or "none at all"
            raise UserError(
                f"{self.workdir} has no generator {direction} (it has {known})."
            )
        return self.translations[direction]

    def generator(self, direction: str) -> str:
        """Returns the name of the one network that translates AtoB or BtoA.

        Raises:
          UserError: as `translation`, or it needs more than one network.
        """
        translation = self.translation(direction)
        if translation.generator is None:
            raise UserError(
                f"{self.workdir}: a translation by {self.config.method} with these"
                " settings is more than one pass through a generator; translate.py and"
                " cyclegan_jax.Translator do it."
            )
        return translation.networks[0]

    def check_pictures(self, what: str) -> None:
        """Checks that both domains are pictures of 8 bits, as `what` needs.

        Raises:
          UserError: one is of measured values.
        """
        for domain in "ab":
            pixels = self.experiment.pixels[domain]
            if pixels.measured:
                raise UserError(
                    f"{self.workdir}: images of {domain.upper()} are"
                    f" {pixels.describe()}, and {what} is for pictures of 8 bits;"
                    " translate.py and cyclegan_jax.Translator translate them."
                )

    def dataset(
        self, path: str = "", splits: Collection[str] = data.SPLITS
    ) -> data.Dataset:
        """Opens the run's data; see `Experiment.dataset`."""
        return self.experiment.dataset(path, splits)


def open_experiment(workdir: epath.PathLike) -> Experiment:
    """Builds what a run's config.json describes; the file may be untrusted.

    Raises:
      UserError: there is no run, or a setting has an invalid type or value.
    """
    config = folder.load_config(workdir)
    try:
        return Experiment.of(config)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as e:
        reason = f"{type(e).__name__}: {e}".split("\n")[0]
        raise UserError(
            f"{workdir}/config.json describes no networks that can be built ({reason})."
        ) from e
