"""The judge's turn, which all methods have in common."""

import functools

import jax

from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.phases import Networks


def discriminator_loss(
    net: Networks,
    judge: str,
    real: jax.Array,
    fake: jax.Array,
    gan_mode: str,
    gradient_penalty: float = 0.0,
) -> jax.Array:
    """Returns the loss of a discriminator, with the penalty if that is its mode.

    Args:
      net: the networks.
      judge: name of the discriminator.
      real: [B, H, W, C] what it should take for real.
      fake: the same number of what it should not.
      gan_mode: see `losses.GAN_MODES`.
      gradient_penalty: its weight; only with `wgangp`.
    """
    real_scores, fake_scores = net(judge, real), net(judge, fake)
    loss = losses.discriminator_adversarial(real_scores, fake_scores, gan_mode)
    if gan_mode == "wgangp" and gradient_penalty:
        mixing = jax.vmap(jax.random.uniform)(net.keys())
        score = functools.partial(net, judge, keep_stats=False)
        loss += gradient_penalty * losses.gradient_penalty(score, real, fake, mixing)
    return loss
