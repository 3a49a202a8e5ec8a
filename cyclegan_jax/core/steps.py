"""One training step on one device: losses, gradients, updates, pools, moving averages.

B is a device's share of the global batch here. A *slot* is a place in the global batch;
all randomness is folded from the seed, the step and the slot, never from the device.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.experimental import layout

from cyclegan_jax import images
from cyclegan_jax.core import feature_queue, image_pool
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.methods.phases import Arrays, Networks
from cyclegan_jax.core.state import TrainState

Metrics = dict[str, jax.Array]


def train_step(
    state: TrainState,
    pools: dict[str, Any],
    batch: dict[str, jax.Array],
    seed: jax.Array,
    *,
    method: Method,
    optimizer: optax.GradientTransformation,
    axis_name: str,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    pixels: images.DomainPixels = images.PICTURES,
    few_passes: bool = False,
) -> tuple[TrainState, dict[str, Any], Metrics]:
    """Updates every network once, from this device's share of the batch.

    Args:
      state: the training state, the same on every device.
      pools: output name -> pools of this device's B slots; and, where discriminators
        have batch heads, `queues`: name -> their `feature_queue.Queues`.
      batch: `a` and `b`: real images as stored, [B, H, W, C]; `slot`: int32 [B]; where
        there are masks, also `mask_a` and `mask_b`: bool [B, H, W, 1].
      seed: [] uint32, of the run.
      method: see `methods.interface`.
      optimizer: applied to each network by itself.
      axis_name: the mapped axis over which gradients are averaged.
      accumulate: parts that the share is split into to save memory; must divide B.
      ema_decay: of the generators' moving averages; 0 for none.
      pixels: how the images of `a` and `b` are stored.
      few_passes: see `methods.phases.Networks`.

    Returns:
      The new state, the new pools, and scalar metrics averaged over devices.
    """
    step_key = jax.random.fold_in(jax.random.key(seed), state.step)
    slot_keys = jax.vmap(jax.random.fold_in, (None, 0))(step_key, batch["slot"])
    pools, metrics = dict(pools), Metrics()
    queues = pools.pop(feature_queue.POOL, {})
    arrays: Arrays = {feature_queue.POOL: queues}
    arrays |= real_images(batch, pixels=pixels)
    for number, phase in enumerate(method.phases):
        keys = fold(slot_keys, 2 * number)
        grads, outputs, terms, norm_stats = gradients(
            method, phase, state, arrays, keys, accumulate, few_passes=few_passes
        )
        grads, terms = lax.pmean((grads, terms), axis_name)
        state = update(state, optimizer, grads).replace(norm_stats=norm_stats)
        arrays |= outputs
        for output in sorted(set(outputs) & set(pools)):
            # One draw for both domains would tie their pools together.
            keys = fold(fold(slot_keys, 2 * number + 1), sorted(pools).index(output))
            pools[output], arrays[output] = image_pool.exchange(
                pools[output], outputs[output], keys
            )
        metrics |= terms
    if queues:
        new = feature_queue.push(queues, arrays[feature_queue.NEWEST])
        pools[feature_queue.POOL] = new
    averages = update_ema(state, ema_decay)
    state = state.replace(step=state.step + 1, ema_params=averages)
    return state, pools, metrics


def real_images(
    batch: Mapping[str, jax.Array],
    *,
    pixels: images.DomainPixels = images.PICTURES,
) -> dict[str, jax.Array]:
    """Returns real_a and real_b in [-1, 1] of a batch, see `train_step`; its masks."""
    masks = {name: batch[name] for name in ("mask_a", "mask_b") if name in batch}
    return {f"real_{d}": pixels[d].to_float(batch[d]) for d in "ab"} | masks


@jax.named_scope("optimizer")  # Its name in profiles.
def update(state, optimizer, grads):
    """Updates the networks that have gradients, each with its own optimiser state."""
    params, opt_state = dict(state.params), dict(state.opt_state)
    optimizer = optax.with_extra_args_support(optimizer)
    for name, grad in _as_stored(grads).items():
        updates, opt_state[name] = optimizer.update(
            grad, opt_state[name], params[name], network=name
        )
        params[name] = optax.apply_updates(params[name], updates)
    return state.replace(params=params, opt_state=opt_state)


def _as_stored(grads):
    """On GPUs, brings gradients into the order in memory that parameters have.

    cuDNN's kernels have another, in which XLA would compute the whole update, and copy
    parameters and moments back.
    """

    def constrain(grads):
        def one(x):
            return layout.with_layout_constraint(x, layout.Layout(tuple(range(x.ndim))))

        return jax.tree.map(one, grads)

    return lax.platform_dependent(
        grads, cuda=constrain, rocm=constrain, default=lambda grads: grads
    )


def fold(keys: jax.Array, number: int) -> jax.Array:
    """Folds a number into each of [B] PRNG keys."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def gradients(method, phase, state, arrays, keys, accumulate, *, few_passes=False):
    """Returns gradients, outputs, metrics and running statistics of one phase."""

    def loss_fn(players, norm_stats, arrays, keys):
        params = state.params | players
        queues = arrays.get(feature_queue.POOL)
        net = Networks(
            method.modules, params, norm_stats, keys, queues, few_passes=few_passes
        )
        loss, outputs, metrics = phase.loss(net, arrays)
        if net.features:
            outputs = outputs | {feature_queue.NEWEST: net.features}
        outputs = lax.stop_gradient(outputs)
        return loss, (outputs, metrics | net.monitors, net.norm_stats)

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
    outputs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)
    return grads, outputs, {k: jnp.mean(x) for k, x in metrics.items()}, norm_stats


def update_ema(state, decay):
    """EMA of the generators with warm-up: decay = min(decay, (1 + t) / (10 + t))."""
    if not state.ema_params:
        return state.ema_params
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return {
        name: jax.tree.map(lambda m, p: p + decay * (m - p), mean, state.params[name])
        for name, mean in state.ema_params.items()
    }
