"""Learning-rate rules, counted in epochs as the reference counts them.

Each rule gives the multiplier *during* epoch e = 1, 2, ...; a schedule evaluates it at
every step inside the optimiser. Epochs up to `constant_epochs` train at the full rate,
the `decay_epochs` after them at a falling one (100 and 100 in the paper).
"""

import jax
import jax.numpy as jnp
import optax

POLICIES = ("linear", "linear_2020", "linear_lua", "step", "cosine", "constant")


def multiplier(
    policy: str,
    epoch: jax.Array,
    constant_epochs: int,
    decay_epochs: int,
    step_epochs: int,
) -> jax.Array:
    """Returns the learning rate of an epoch, relative to the initial one.

    Args:
      policy: which rule:
        `linear`: the PyTorch code before July 2020 and since July 2025: 1 until epoch
          100, then down in equal steps to 1/101 in epoch 200;
        `linear_2020`: the PyTorch code between those dates, where the scheduler steps
          at the start of an epoch: everything one epoch earlier, the last at 0;
        `linear_lua`: the authors' Lua code: 1 until epoch 101, 1/100 in epoch 200;
        `step`: divided by 10 after every `step_epochs`;
        `cosine`: half a cosine over `constant_epochs`, rising again after them, as
          PyTorch's CosineAnnealingLR does in the reference;
        `constant`: always 1.
      epoch: [] number of the epoch, from 1.
      constant_epochs: epochs at the full rate.
      decay_epochs: epochs that follow, with a falling rate.
      step_epochs: epochs between the steps of `step`.

    Raises:
      ValueError: the policy is not known.
    """
    past = epoch - constant_epochs
    if policy == "linear":
        return 1.0 - jnp.maximum(0, past) / (decay_epochs + 1)
    if policy == "linear_2020":
        return 1.0 - jnp.maximum(0, past + 1) / (decay_epochs + 1)
    if policy == "linear_lua":
        return 1.0 - jnp.maximum(0, past - 1) / max(decay_epochs, 1)
    if policy == "step":
        return 0.1 ** ((epoch - 1) // step_epochs)
    if policy == "cosine":
        return 0.5 * (1.0 + jnp.cos(jnp.pi * (epoch - 1) / max(constant_epochs, 1)))
    if policy == "constant":
        return jnp.ones(())
    raise ValueError(f"unknown learning-rate policy {policy!r}; choose from {POLICIES}")


def learning_rate(
    policy: str,
    *,
    initial: float,
    steps_per_epoch: int,
    constant_epochs: int,
    decay_epochs: int,
    step_epochs: int = 50,
) -> optax.Schedule:
    """Returns the schedule from the number of finished steps to the learning rate.

    Args:
      policy: see `multiplier`, as are the epochs.
      initial: the full rate.
      steps_per_epoch: steps in an epoch.
      constant_epochs: see `multiplier`.
      decay_epochs: see `multiplier`.
      step_epochs: see `multiplier`.
    """

    def schedule(count):
        epoch = count // steps_per_epoch + 1
        factor = multiplier(policy, epoch, constant_epochs, decay_epochs, step_epochs)
        return initial * factor

    return schedule
