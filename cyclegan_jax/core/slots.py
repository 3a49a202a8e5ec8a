"""The training step slot by slot, for the same bits on any number of devices.

`steps.train_step` sums over the slots of a batch wherever XLA finds it fast, on a
device and between devices, and so rounds differently on another number of devices. Here
the arithmetic of a slot and the sum over slots do not depend on who computes them:

1. `phase` computes the gradients of one slot: one program, whatever the batch is.
2. The gradients are added as a fixed tree over slots (`Tree`), by programs that only
   add: a compiler may contract a product and a sum that meet in one program.
3. `update` divides by the number of slots and updates the networks of a phase.

B = m 2^p slots with an odd m: m consecutive slots are added one after the other, and
these sums in pairs, pairs of pairs and so on, so that 1, 2, 4, ..., 2^p devices can
each add the slots that they have, and then exchange theirs (`sum_over_devices`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from cyclegan_jax.core import image_pool, steps
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.state import TrainState

Arrays = dict[str, jax.Array]


def phase(
    state: TrainState,
    arrays: Arrays,
    slot: jax.Array,
    seed: jax.Array,
    *,
    method: Method,
    number: int,
) -> tuple[Any, Arrays, Any]:
    """Computes the gradients and outputs of a phase, for one slot.

    The running statistics that it returns do not depend on the slot: networks that
    couple the images of a batch are refused (`couples_images`), and others' statistics
    are of their weights (spectral norm).

    Args:
      state: the training state.
      arrays: the slot's real images, queues and outputs of earlier phases, [1, ...].
      slot: int32 [1], its place in the global batch.
      seed: [] uint32, the run's.
      method: see `methods.interface`.
      number: of the phase.

    Returns:
      (gradients, metrics), to be added over slots; the outputs, [1, ...]; and the
      running statistics.
    """
    keys = steps.fold(_slot_keys(state, slot, seed), 2 * number)
    grads, outputs, metrics, norm_stats = steps.gradients(
        method, method.phases[number], state, arrays, keys, accumulate=1
    )
    return (grads, metrics), outputs, norm_stats


def exchange(
    state: TrainState,
    pools: dict[str, image_pool.ImagePool],
    outputs: Arrays,
    slots: jax.Array,
    seed: jax.Array,
    *,
    number: int,
) -> tuple[dict[str, image_pool.ImagePool], Arrays]:
    """Passes a phase's outputs through their pools; moves images, computes nothing.

    Args:
      state: the training state.
      pools: output name -> pools of these slots.
      outputs: of the phase, [B, ...].
      slots: int32 [B], their places in the global batch.
      seed: [] uint32, the run's.
      number: of the phase.
    """
    keys, pools = _slot_keys(state, slots, seed), dict(pools)
    for name in sorted(set(outputs) & set(pools)):
        # One draw for both domains would tie their pools together.
        own = steps.fold(steps.fold(keys, 2 * number + 1), sorted(pools).index(name))
        pools[name], outputs[name] = image_pool.exchange(
            pools[name], outputs[name], own
        )
    return pools, outputs


def update(
    state: TrainState,
    total: Any,
    norm_stats: Any,
    *,
    optimizer: optax.GradientTransformation,
    slots: int,
    ema_decay: float,
    last: bool,
) -> tuple[TrainState, Arrays]:
    """Updates the networks of a phase by the sum over slots of `phase`'s first result.

    Args:
      state: the training state.
      total: (gradients, metrics), added over slots.
      norm_stats: the new running statistics, of any slot.
      optimizer: applied to each network by itself.
      slots: of the global batch.
      ema_decay: of the generators' moving averages; 0 for none.
      last: whether it is the step's last phase.

    Returns:
      The new state, and the means of the metrics.
    """
    grads, metrics = jax.tree.map(lambda x: x / slots, total)
    state = steps.update(state, optimizer, grads).replace(norm_stats=norm_stats)
    if last:
        averages = steps.update_ema(state, ema_decay)
        state = state.replace(step=state.step + 1, ema_params=averages)
    return state, metrics


class Tree:
    """Adds up values of consecutive slots, in an order that depends on them alone."""

    def __init__(self, slots: int, add: Callable[[Any, Any], Any]):
        """Takes the slots of the global batch, and what adds two values."""
        self._group = slots // (slots & -slots)  # The odd part.
        self._add = add
        self._levels: list[tuple[int, Any]] = []
        self._members, self._sum = 0, None

    def put(self, value: Any) -> None:
        """Takes the value of the next slot."""
        self._sum = value if self._sum is None else self._add(self._sum, value)
        self._members += 1
        if self._members < self._group:
            return
        level, value = 0, self._sum
        self._members, self._sum = 0, None
        while self._levels and self._levels[-1][0] == level:
            value = self._add(self._levels.pop()[1], value)
            level += 1
        self._levels.append((level, value))

    def total(self) -> Any:
        """Returns the sum; the slots so far must be a whole branch of the tree."""
        ((_, value),) = self._levels
        return value


def devices_allowed(slots: int) -> list[int]:
    """Lists the numbers of devices among which `slots` can be divided."""
    largest = slots & -slots
    return [2**power for power in range(largest.bit_length())]


def couples_images(method: Method) -> str:
    """Returns the name of a network that couples the images of a batch, if any does."""
    for name, module in method.modules.items():
        if getattr(module, "norm", "none") == "batch":
            return name
    return ""


def sum_over_devices(value: Any, axis_name: str, devices: int) -> Any:
    """Adds over devices, neighbours first; every device gets the same bits.

    Recursive halving and doubling: a device adds its half of the values with its
    neighbour, a quarter with the device at distance 2, and so on, and the sums go back
    the same way. Each device sends 2 (n - 1) / n of the values, as in an all-reduce.
    `a + b` and `b + a` are the same bits, so it does not matter who adds.

    Args:
      value: a tree of arrays of one dtype.
      axis_name: the mapped axis.
      devices: its size n, a power of two.
    """
    vector, restore = ravel_pytree(value)
    part = jnp.pad(vector, (0, -vector.size % devices))
    index = lax.axis_index(axis_name)
    distances = [2**level for level in range(devices.bit_length() - 1)]
    for distance in distances:
        upper = index & distance != 0
        lower_half, upper_half = jnp.split(part, 2)
        kept = jnp.where(upper, upper_half, lower_half)
        given = jnp.where(upper, lower_half, upper_half)
        part = kept + _swap(given, axis_name, devices, distance)
    for distance in reversed(distances):
        other = _swap(part, axis_name, devices, distance)
        upper = index & distance != 0
        part = jnp.where(
            upper, jnp.concatenate([other, part]), jnp.concatenate([part, other])
        )
    return restore(part[: vector.size])


def _swap(array, axis_name, devices, distance):
    pairs = [(device, device ^ distance) for device in range(devices)]
    return lax.ppermute(array, axis_name, pairs)


def _slot_keys(state, slots, seed):
    step_key = jax.random.fold_in(jax.random.key(seed), state.step)
    return jax.vmap(jax.random.fold_in, (None, 0))(step_key, slots)
