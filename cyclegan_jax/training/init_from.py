"""Initialises a run with another run's networks."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from cyclegan_jax.core.methods.interface import size_multiple, smallest_size
from cyclegan_jax.core.state import TrainState, create_state, placeholders
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run


def load_initial(experiment: Experiment) -> Run | None:
    """Loads the run that `init_from` names, if any, and checks that its networks fit.

    Raises:
      UserError: there is no such run, or its networks do not fit.
    """
    if not experiment.config.init_from:
        return None
    run = Run.load(as_path(experiment.config.init_from), average=False)
    method = experiment.method
    multiple = size_multiple(method)
    size = (-(-smallest_size(method) // multiple) * multiple,) * 2
    given = placeholders(method)
    fresh = functools.partial(
        create_state, method, optax.identity(), size, seed=0, given=given
    )
    _check_fits(run, jax.eval_shape(fresh).params)
    return run


def start_from(
    run: Run, state: TrainState, given: Mapping[str, Any] | None = None
) -> TrainState:
    """Copies the networks of another run into a fresh training state.

    Networks that the other run lacks are unchanged; their names are printed.

    Args:
      run: the other run, from `load_initial`.
      state: the fresh state.
      given: what the state was created with, see `create_state`; parameters in it stay.
    """
    params, stats = dict(state.params), dict(state.norm_stats)
    stay = {name for name, value in (given or {}).items() if not isinstance(value, str)}
    for name in sorted(set(params) - stay):
        if name not in run.variables:
            print(f"init_from: {run.workdir} has no {name}; it starts from scratch.")
            continue
        params[name] = run.variables[name]["params"]
        if name in stats:
            theirs = run.variables[name].get("batch_stats", {})
            stats[name] = _replaced(stats[name], theirs)
    average = {name: jax.tree.map(jnp.copy, params[name]) for name in state.ema_params}
    return state.replace(params=params, norm_stats=stats, ema_params=average)


def _replaced(ours, given):
    """What is in both takes the given value; a spectral norm may be new here."""
    ours, given = map(traverse_util.flatten_dict, (ours, given))
    return traverse_util.unflatten_dict({k: given.get(k, v) for k, v in ours.items()})


def _check_fits(run: Run, params: dict[str, Any]) -> None:
    if not set(run.variables) & set(params):
        raise UserError(f"init_from: {run.workdir} has none of {', '.join(params)}.")
    for name in sorted(set(run.variables) & set(params)):
        theirs, ours = _shapes(run.variables[name]["params"]), _shapes(params[name])
        for path in sorted(set(theirs) | set(ours)):
            if theirs.get(path) != ours.get(path):
                raise UserError(
                    f"init_from: {name}/{path} is {theirs.get(path, 'missing')} in"
                    f" {run.workdir} and {ours.get(path, 'missing')} here; use the"
                    " generator.*, discriminator.*, cut.* and channels of its"
                    " config.json."
                )


def _shapes(tree):
    return {k: v.shape for k, v in traverse_util.flatten_dict(tree, sep="/").items()}
