"""The training state: created from a method, and used to translate."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct

from cyclegan_jax.core import feature_queue, image_pool
from cyclegan_jax.core.methods.interface import Method, Variables, untrained


class TrainState(struct.PyTreeNode):
    """All that is the same on every device, in arrays only.

    Attributes:
      step: [] int32, number of finished updates.
      params: network name -> parameters.
      opt_state: network name -> optimiser state, of the networks that are trained.
      norm_stats: network name -> running statistics, for networks with batch norm.
      ema_params: generator name -> moving average of its parameters; may be empty.
    """

    step: jax.Array
    params: dict[str, Any]
    opt_state: dict[str, optax.OptState]
    norm_stats: dict[str, Any]
    ema_params: dict[str, Any]


def create_state(
    method: Method,
    optimizer: optax.GradientTransformation,
    image_size: tuple[int, int],
    seed: int,
    *,
    ema: bool = False,
    given: Mapping[str, Any | Literal["random"]] | None = None,
) -> TrainState:
    """Initialises all networks of a method.

    Args:
      method: see `methods.interface`.
      optimizer: applied to each network by itself.
      image_size: height and width of the training images.
      seed: of the run; every network's key is folded from it by the network's name.
      ema: whether moving averages of the generators are kept.
      given: network name -> parameters that it starts from, or "random". Networks that
        no phase trains must be among them.

    Raises:
      ValueError: a network that no phase trains is not given: it would remain random.
    """
    given = given or {}
    if missing := [name for name in untrained(method) if name not in given]:
        raise ValueError(
            f"no phase trains {', '.join(missing)}: give its parameters, or 'random'"
        )
    params = {name: x for name, x in given.items() if not isinstance(x, str)}
    norm_stats = {}
    blanks = method.blanks(image_size)
    for name, module in method.modules.items():
        if name in params:
            continue
        # The last four letters; kept so, as initial weights would change.
        number = int.from_bytes(name.encode(), "big") % 2**32
        key = jax.random.fold_in(jax.random.key(seed), number)
        variables = _initialise(module, key, blanks[name])
        params[name] = variables["params"]
        if "batch_stats" in variables:
            norm_stats[name] = variables["batch_stats"]
    averaged = [name for name in params if name.startswith("g")] if ema else []
    trained = [name for phase in method.phases for name in phase.players]

    @jax.jit  # One program, where each array would have one of its own.
    def rest(params):
        opt_state = {name: optimizer.init(params[name]) for name in trained}
        means = {name: jax.tree.map(jnp.copy, params[name]) for name in averaged}
        return jnp.zeros((), jnp.int32), opt_state, means

    step, opt_state, ema_params = rest(params)
    return TrainState(step, params, opt_state, norm_stats, ema_params)


def placeholders(method: Method) -> dict[str, Literal["random"]]:
    """Returns what `create_state` can be given for a state whose values do not matter.

    That is where only its shapes are used, or where a checkpoint replaces its values.
    """
    return dict.fromkeys(untrained(method), "random")


@functools.partial(jax.jit, static_argnums=0)
def _initialise(module, key, blank):
    """Compiled, which drops the forward pass; once for networks that are alike."""
    return module.init(key, blank)


def create_pools(
    method: Method,
    slots: int,
    pool_size: int,
    image_size: tuple[int, int],
    *,
    local_slots: int | None = None,
) -> dict[str, Any]:
    """Creates empty pools that hold about `pool_size` images over all `slots`.

    Every slot of the global batch gets `ceil(pool_size / slots)` images, and queues for
    each discriminator with a batch head.

    Args:
      method: see `methods.interface`.
      slots: of the global batch.
      pool_size: images remembered for each output, over all slots; 0: no pools.
      image_size: height and width.
      local_slots: slots whose pools are made; by default all.

    Returns:
      See `steps.train_step`.
    """
    local = slots if local_slots is None else local_slots
    pools: dict[str, Any] = {}
    if pool_size:  # Checkpoints cannot hold arrays without elements.
        capacity = -(-pool_size // slots)
        for name, channels in method.pools.items():
            shape = (*image_size, channels)
            pools[name] = image_pool.create(local, capacity, shape)
    if queues := _create_queues(method, local, image_size):
        pools[feature_queue.POOL] = queues
    return pools


def _create_queues(method, slots, image_size):
    blanks, queues = method.blanks(image_size), {}
    for name, module in method.modules.items():
        if size := getattr(module, "queue_size", 0):
            init = functools.partial(module.init, mutable=True)
            made = jax.eval_shape(init, jax.random.key(0), blanks[name])
            (features,) = made["intermediates"]["features"]
            queues[name] = feature_queue.create(slots, size, features.shape[1:])
    return queues


def variables_of(
    params: Variables, averages: Variables, norm_stats: Variables
) -> Variables:
    """Returns network name -> what `module.apply` takes.

    Args:
      params: parameters by network name.
      averages: moving averages, which take their places where there are some.
      norm_stats: running statistics of those that have them.
    """
    return {
        name: {"params": averages.get(name, value)}
        | ({"batch_stats": norm_stats[name]} if name in norm_stats else {})
        for name, value in params.items()
    }


def translate(
    state: TrainState, method: Method, direction: str, photos: jax.Array
) -> jax.Array:
    """Translates [B, H, W, C] in [-1, 1] in evaluation mode.

    Args:
      state: its moving averages are used where it has them.
      method: see `methods.interface`.
      direction: one of the method's.
      photos: the images.
    """
    variables = variables_of(state.params, state.ema_params, state.norm_stats)
    return method.translations[direction].apply(variables, photos, jax.random.key(0))
