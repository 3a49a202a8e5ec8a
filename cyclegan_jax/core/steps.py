"""What happens on one device in one training step.

B is a device's share of the global batch here. A *slot* is a place in the global batch;
all randomness is folded from the seed, the step and the slot, never from the device.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from cyclegan_jax import images
from cyclegan_jax.core import image_pool
from cyclegan_jax.core.methods.interface import Method, Variables
from cyclegan_jax.core.methods.phases import Networks

Metrics = dict[str, jax.Array]


@struct.dataclass
class TrainState:
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
    given: Mapping[str, Any] | None = None,
) -> TrainState:
    """Initialises all networks of a method.

    Args:
      method: see `methods.interface`.
      optimizer: applied to each network by itself.
      image_size: height and width of the training images.
      seed: of the run; every network's key is folded from it by the network's name.
      ema: whether moving averages of the generators are kept.
      given: network name -> parameters that it starts from.
    """
    params, norm_stats = dict(given or {}), {}
    blanks = method.blanks(image_size)
    for name, module in method.modules.items():
        if name in params:
            continue
        number = int.from_bytes(name.encode(), "big") % 2**32
        key = jax.random.fold_in(jax.random.key(seed), number)
        variables = _initialise(module, key, blanks[name])
        params[name] = variables["params"]
        if "batch_stats" in variables:
            norm_stats[name] = variables["batch_stats"]
    averaged = [name for name in params if name.startswith("g")] if ema else []
    trained = [name for phase in method.phases for name in phase.players]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={name: optimizer.init(params[name]) for name in trained},
        norm_stats=norm_stats,
        ema_params={name: jax.tree.map(jnp.copy, params[name]) for name in averaged},
    )


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
) -> dict[str, image_pool.ImagePool]:
    """Creates empty pools that hold about `pool_size` images over all `slots`.

    Every slot of the global batch gets `ceil(pool_size / slots)` images.

    Args:
      method: see `methods.phases`.
      slots: of the global batch.
      pool_size: images remembered for each output, over all slots; 0: no pools.
      image_size: height and width.
      local_slots: slots whose pools are made; by default all.
    """
    if not pool_size:  # Checkpoints cannot hold arrays without elements.
        return {}
    capacity = -(-pool_size // slots)
    local = slots if local_slots is None else local_slots
    return {
        name: image_pool.create(local, capacity, (*image_size, channels))
        for name, channels in method.pools.items()
    }


def train_step(
    state: TrainState,
    pools: dict[str, image_pool.ImagePool],
    batch: dict[str, jax.Array],
    seed: jax.Array,
    *,
    method: Method,
    optimizer: optax.GradientTransformation,
    axis_name: str,
    accumulate: int = 1,
    ema_decay: float = 0.0,
) -> tuple[TrainState, dict[str, image_pool.ImagePool], Metrics]:
    """Updates every network once, from this device's share of the batch.

    Args:
      state: the training state, the same on every device.
      pools: output name -> pools of this device's B slots.
      batch: `a` and `b`: real images uint8 [B, H, W, C]; `slot`: int32 [B].
      seed: [] uint32, the run's.
      method: see `methods.interface`.
      optimizer: applied to each network by itself.
      axis_name: the mapped axis over which gradients are averaged.
      accumulate: parts that the share is split into to save memory; must divide B.
      ema_decay: of the generators' moving averages; 0 for none.

    Returns:
      The new state, the new pools, and scalar metrics averaged over devices.
    """
    step_key = jax.random.fold_in(jax.random.key(seed), state.step)
    slot_keys = jax.vmap(jax.random.fold_in, (None, 0))(step_key, batch["slot"])
    arrays = {f"real_{domain}": images.to_float(batch[domain]) for domain in "ab"}
    pools, metrics = dict(pools), {}
    for number, phase in enumerate(method.phases):
        keys = _fold(slot_keys, 2 * number)
        grads, outputs, terms, norm_stats = _gradients(
            method, phase, state, arrays, keys, accumulate
        )
        grads, terms = lax.pmean((grads, terms), axis_name)
        state = _update(state, optimizer, grads).replace(norm_stats=norm_stats)
        arrays |= outputs
        for output in sorted(set(outputs) & set(pools)):
            # One draw for both domains would tie their pools together.
            keys = _fold(_fold(slot_keys, 2 * number + 1), sorted(pools).index(output))
            pools[output], arrays[output] = image_pool.exchange(
                pools[output], outputs[output], keys
            )
        metrics |= terms
    state = state.replace(step=state.step + 1, ema_params=_average(state, ema_decay))
    return state, pools, metrics


@jax.named_scope("optimizer")  # Its name in profiles.
def _update(state, optimizer, grads):
    """Updates the networks that have gradients, each with an optimiser of its own."""
    params, opt_state = dict(state.params), dict(state.opt_state)
    for name, grad in grads.items():
        updates, opt_state[name] = optimizer.update(grad, opt_state[name], params[name])
        params[name] = optax.apply_updates(params[name], updates)
    return state.replace(params=params, opt_state=opt_state)


def _fold(keys, number):
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _gradients(method, phase, state, arrays, keys, accumulate):
    """Returns gradients, outputs, metrics and running statistics of one phase."""

    def loss_fn(players, norm_stats, arrays, keys):
        params = state.params | players
        net = Networks(method.modules, params, norm_stats, keys)
        loss, outputs, metrics = phase.loss(net, arrays)
        outputs = lax.stop_gradient(outputs)
        return loss, (outputs, metrics, net.norm_stats)

    players = {name: state.params[name] for name in phase.players}
    grad_fn = jax.grad(loss_fn, has_aux=True)
    if accumulate == 1:
        grads, (outputs, metrics, norm_stats) = grad_fn(
            players, state.norm_stats, arrays, keys
        )
        return grads, outputs, metrics, norm_stats

    def split(x):
        return x.reshape(accumulate, x.shape[0] // accumulate, *x.shape[1:])

    def body(carry, part):
        total, norm_stats = carry
        grads, (outputs, metrics, norm_stats) = grad_fn(players, norm_stats, *part)
        return (jax.tree.map(jnp.add, total, grads), norm_stats), (outputs, metrics)

    zeros = jax.tree.map(jnp.zeros_like, players)
    (total, norm_stats), (outputs, metrics) = lax.scan(
        body, (zeros, state.norm_stats), jax.tree.map(split, (arrays, keys))
    )
    grads = jax.tree.map(lambda x: x / accumulate, total)
    outputs = {k: x.reshape(-1, *x.shape[2:]) for k, x in outputs.items()}
    return grads, outputs, {k: jnp.mean(x) for k, x in metrics.items()}, norm_stats


def _average(state, decay):
    """Moves the averages; early steps count more, so that the start is forgotten."""
    if not state.ema_params:
        return state.ema_params
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return {
        name: jax.tree.map(lambda m, p: p + decay * (m - p), mean, state.params[name])
        for name, mean in state.ema_params.items()
    }


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
