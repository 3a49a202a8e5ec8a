"""Opens a finished, running or imported run to use its networks."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from etils import epath
from flax import traverse_util

from cyclegan_jax.core.methods.interface import Method, Translation
from cyclegan_jax.core.state import TrainState, variables_of
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
    """A run at one of its checkpoints.

    Attributes:
      workdir: the run's folder.
      config: its settings.
      method: its networks and losses.
      step: of the checkpoint.
      variables: network name -> what `module.apply` takes.
    """

    workdir: epath.Path
    config: ml_collections.ConfigDict
    method: Method
    step: int
    variables: dict[str, dict[str, Any]]

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
          UserError: as `translation`, or there is more to it than one network.
        """
        translation = self.translation(direction)
        if translation.generator is None:
            raise UserError(
                f"{self.workdir}: a translation by {self.config.method} with these"
                " settings is more than one pass through a generator."
            )
        return translation.networks[0]


def steps(workdir: epath.PathLike) -> list[int]:
    """Lists the steps of a run's checkpoints, in order.

    Raises:
      UserError: the folder holds no run, or no checkpoint.
    """
    run_folder.read_config(workdir)  # Says so where there is no run.
    folder, found = epath.Path(workdir) / "checkpoints", []
    if folder.exists():
        checkpoints = Checkpoints(folder, read_only=True)
        found = checkpoints.steps()
        checkpoints.close()
    if not found:
        raise UserError(f"{workdir} has no checkpoint yet.")
    return found


def check_start(run: Run, params: dict[str, Any]) -> None:
    """Checks that a training can start from another run's networks.

    Args:
      run: the other run.
      params: the training's parameters by network name; their shapes count.

    Raises:
      UserError: a network has other shapes there, or none of them is there.
    """
    if not set(run.variables) & set(params):
        raise UserError(f"init_from: {run.workdir} has none of {', '.join(params)}.")
    for name in sorted(set(run.variables) & set(params)):
        theirs, ours = _shapes(run.variables[name]["params"]), _shapes(params[name])
        for path in sorted(set(theirs) | set(ours)):
            if theirs.get(path) != ours.get(path):
                raise UserError(
                    f"init_from: {name}/{path} is {theirs.get(path, 'missing')} in"
                    f" {run.workdir} and {ours.get(path, 'missing')} here; use the"
                    " generator.*, discriminator.* and channels of its config.json."
                )


def _shapes(tree):
    return {k: v.shape for k, v in traverse_util.flatten_dict(tree, sep="/").items()}


def start_from(run: Run, state: TrainState) -> TrainState:
    """Puts the networks of another run into a fresh training state.

    Networks that the other run lacks stay as they are; it says which ones.

    Args:
      run: the other run, checked by `check_start`.
      state: the fresh state.
    """
    params, stats = dict(state.params), dict(state.norm_stats)
    for name in params:
        if name not in run.variables:
            print(f"init_from: {run.workdir} has no {name}; it starts from scratch.")
            continue
        params[name] = run.variables[name]["params"]
        if name in stats:
            stats[name] = run.variables[name]["batch_stats"]
    average = {name: jax.tree.map(jnp.copy, params[name]) for name in state.ema_params}
    return state.replace(params=params, norm_stats=stats, ema_params=average)


def load(
    workdir: epath.PathLike, step: int | None = None, *, average: bool = True
) -> Run:
    """Loads the networks of a run.

    Args:
      workdir: the run's folder.
      step: of a checkpoint; None for the newest.
      average: use the moving averages of the generators where they exist.

    Raises:
      UserError: there is no run, no such checkpoint, or it cannot be read.
    """
    found = steps(workdir)
    step = found[-1] if step is None else step
    if step not in found:
        known = ", ".join(map(str, found))
        raise UserError(f"{workdir} has no checkpoint of step {step}, but of {known}.")
    workdir = epath.Path(workdir)
    config = run_folder.load_config(workdir)
    method = experiment.build_saved_method(config, workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    try:
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        weights = checkpoints.load_weights(step, device)
    finally:
        checkpoints.close()
    averages = weights["ema_params"] if average else {}
    variables = variables_of(weights["params"], averages, weights["norm_stats"])
    return Run(workdir, config, method, step, variables)
