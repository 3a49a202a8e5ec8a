"""Adam as PyTorch has it, with another learning rate for discriminators if wanted."""

from typing import Any

import optax

from cyclegan_jax.errors import UserError


def adam(schedule: optax.Schedule, settings: Any) -> optax.GradientTransformation:
    """Returns Adam, to be applied to each network by itself.

    With another rate for discriminators, its update takes the argument `network`, the
    name; see `steps.update`. The state is the same either way.

    Args:
      schedule: number of finished steps -> learning rate.
      settings: `optimizer` of a config.

    Raises:
      UserError: see `relative_rate`.
    """

    def build(schedule):
        transformation = optax.adam(schedule, b1=settings.beta1, b2=settings.beta2)
        if not settings.weight_decay:
            return transformation
        decay = optax.add_decayed_weights(settings.weight_decay)
        return optax.chain(decay, transformation)

    common, ratio = build(schedule), relative_rate(settings)
    if ratio == 1.0:
        return common
    discriminators = build(lambda count: ratio * schedule(count))

    def update(grads, state, params=None, *, network, **_):
        chosen = discriminators if network.startswith("d") else common
        return chosen.update(grads, state, params)

    return optax.GradientTransformationExtraArgs(common.init, update)


def relative_rate(settings: Any) -> float:
    """Returns the discriminators' learning rate over that of the other networks.

    Args:
      settings: `optimizer` of a config.

    Raises:
      UserError: discriminators alone would be trained.
    """
    rate, own = settings.learning_rate, settings.discriminator_rate
    if own and not rate:
        raise UserError(
            f"optimizer.learning_rate is 0, but optimizer.discriminator_rate is {own}:"
            " discriminators cannot be trained alone."
        )
    return own / rate if own else 1.0
