"""Loss terms as pure functions of arrays.

Scores are what a discriminator returns, [B, H', W', 1] without a sigmoid; images are
[B, H, W, C] in [-1, 1]. Every loss is a mean over all values, hence a scalar [].
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

GAN_MODES = ("lsgan", "vanilla", "hinge", "wgangp")


def generator_adversarial(
    fake_scores: jax.Array, mode: str, *, wanted: Literal[0, 1] = 1
) -> jax.Array:
    """What a generator minimises to make its images score as real ones.

    Args:
      fake_scores: [...] scores of generated images.
      mode: `lsgan` (Mao et al. 2017; Zhu et al. 2017, section 4), `vanilla` (the
        non-saturating cross entropy of Goodfellow et al. 2014), `hinge` (Lim & Ye
        2017) or `wgangp` (Gulrajani et al. 2017).
      wanted: the label that it wants: 1, that of real images, or 0 (`methods.bigan`).
    """
    sign = 2.0 * wanted - 1.0
    if mode == "lsgan":
        return jnp.mean(jnp.square(fake_scores - wanted))
    if mode == "vanilla":
        return jnp.mean(jax.nn.softplus(-sign * fake_scores))
    if mode in ("hinge", "wgangp"):
        return -sign * jnp.mean(fake_scores)
    raise ValueError(f"unknown GAN mode {mode!r}; choose from {GAN_MODES}")


def discriminator_adversarial(
    real_scores: jax.Array, fake_scores: jax.Array, mode: str
) -> jax.Array:
    """What a discriminator minimises to score real images as real, others as not.

    Half the sum of the two terms: this slows the discriminator down relative to the
    generator (Zhu et al. 2017, appendix 7.1). The gradient penalty of `wgangp` comes
    on top, see `gradient_penalty`.

    Args:
      real_scores: [...] scores of real images.
      fake_scores: the same for generated images.
      mode: as in `generator_adversarial`.
    """
    if mode == "lsgan":
        real, fake = jnp.square(real_scores - 1.0), jnp.square(fake_scores)
    elif mode == "vanilla":
        real, fake = jax.nn.softplus(-real_scores), jax.nn.softplus(fake_scores)
    elif mode == "hinge":
        real, fake = jax.nn.relu(1.0 - real_scores), jax.nn.relu(1.0 + fake_scores)
    elif mode == "wgangp":
        real, fake = -real_scores, fake_scores
    else:
        raise ValueError(f"unknown GAN mode {mode!r}; choose from {GAN_MODES}")
    return 0.5 * (jnp.mean(real) + jnp.mean(fake))


def gradient_penalty(
    score: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    mixing: jax.Array,
) -> jax.Array:
    """Pulls the discriminator's gradient norm towards 1 (Gulrajani et al. 2017).

    Args:
      score: the discriminator, from images to scores.
      real: [B, H, W, C] real images.
      fake: the same number of generated images.
      mixing: [B] share of the real image in the point where the gradient is taken.

    Returns:
      [] mean over the batch of (|gradient|_2 - 1)^2.
    """
    _same_shape(real, fake)
    share = mixing.reshape(-1, 1, 1, 1)
    between = share * real + (1.0 - share) * fake
    gradients = jax.grad(lambda images: jnp.sum(score(images)))(between)
    # The small number keeps the norm differentiable at a gradient of exactly 0.
    norms = jnp.sqrt(jnp.sum(jnp.square(gradients), axis=(1, 2, 3)) + 1e-12)
    return jnp.mean(jnp.square(norms - 1.0))


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute difference of two equally shaped arrays.

    Raises:
      ValueError: the shapes differ; they would broadcast otherwise.
    """
    _same_shape(prediction, target)
    return jnp.mean(jnp.abs(prediction - target))


def _same_shape(a, b):
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
