"""The discriminator's loss, shared by all methods."""

import functools
from typing import Any

import jax

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.phases import Networks
from cyclegan_jax.errors import UserError


def discriminator_loss(
    net: Networks,
    name: str,
    real: Any,
    fake: Any,
    gan_mode: str,
    gradient_penalty: float = 0.0,
) -> jax.Array:
    """Returns the loss of a discriminator, with the penalty if that is its mode.

    Monitors whether the discriminator overfits, if its module says so.

    Args:
      net: the networks.
      name: of the discriminator.
      real: [B, H, W, C] real images, or whatever the network takes.
      fake: the same number of generated ones.
      gan_mode: see `losses.GAN_LOSSES`.
      gradient_penalty: its weight.
    """
    real_scores, fake_scores = net.scores(name, real, fake)
    loss = losses.discriminator_adversarial(real_scores, fake_scores, gan_mode)
    if getattr(net.module(name), "monitored", False):
        net.monitors[f"overfitting_{name}"] = losses.overfitting(real_scores, gan_mode)
    penalty = losses.GAN_LOSSES[gan_mode].gradient_penalty
    if penalty and gradient_penalty:
        mixing = jax.vmap(jax.random.uniform)(net.keys())
        score = functools.partial(net, name, keep_stats=False, real=mixing)
        loss += gradient_penalty * losses.gradient_penalty(
            score, real, fake, mixing, penalty
        )
    return loss


def check_gan(config: Any) -> None:
    """Checks that a config has the adversarial loss that its method requires.

    Raises:
      UserError: its weight is 0.
    """
    if not config.loss.gan:
        raise UserError(
            f"loss.gan is 0, but method {config.method} requires an adversarial loss"
            " (loss.gan > 0)."
        )
