"""Loss terms as pure functions of arrays.

Scores are a discriminator's output without a sigmoid, [B, H', W', 1]; images are
[B, H, W, C] in [-1, 1]. Every loss is a mean over all values, [].
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp


class Penalty(NamedTuple):
    """A gradient penalty: (|gradient of an image's score|_2 - centre)^2.

    Attributes:
      centre: the norm that it pulls the gradient to.
      mean: whether an image's score is the mean of its patches' scores, not their sum.
    """

    centre: float
    mean: bool


ONE_CENTRED = Penalty(centre=1.0, mean=False)
ZERO_CENTRED = Penalty(centre=0.0, mean=True)


class GanLoss(NamedTuple):
    """An adversarial loss, as functions of single scores.

    Attributes:
      generator: (scores of generated images, the label that the generator wants for
        them, 1 for real or 0) -> what the generator minimises.
      real: scores of real images -> what the discriminator minimises.
      fake: the same for scores of generated images.
      gradient_penalty: what the discriminator is regularised by, if by any.
      undecided: the score halfway between real and generated; None if only differences
        of scores have a meaning.
    """

    generator: Callable[[jax.Array, Literal[0, 1]], jax.Array]
    real: Callable[[jax.Array], jax.Array]
    fake: Callable[[jax.Array], jax.Array]
    gradient_penalty: Penalty | None = None
    undecided: float | None = 0.0


# The choices of loss.gan_mode.
GAN_LOSSES = {
    # Mao et al. 2017; Zhu et al. 2017, section 4.
    "lsgan": GanLoss(
        generator=lambda scores, wanted: jnp.square(scores - wanted),
        real=lambda scores: jnp.square(scores - 1.0),
        fake=jnp.square,
        undecided=0.5,
    ),
    # The non-saturating cross entropy of Goodfellow et al. 2014.
    "vanilla": GanLoss(
        generator=lambda scores, wanted: jax.nn.softplus(_sign(wanted) * scores),
        real=lambda scores: jax.nn.softplus(-scores),
        fake=jax.nn.softplus,
    ),
    # Lim & Ye 2017.
    "hinge": GanLoss(
        generator=lambda scores, wanted: _sign(wanted) * scores,
        real=lambda scores: jax.nn.relu(1.0 - scores),
        fake=lambda scores: jax.nn.relu(1.0 + scores),
    ),
    # Gulrajani et al. 2017.
    "wgangp": GanLoss(
        generator=lambda scores, wanted: _sign(wanted) * scores,
        real=lambda scores: -scores,
        fake=lambda scores: scores,
        gradient_penalty=ONE_CENTRED,
        undecided=None,
    ),
}
# UVCGAN v2 (Torbunov et al. 2023): least squares with a penalty centred at zero.
GAN_LOSSES["lsgan_gp"] = GAN_LOSSES["lsgan"]._replace(gradient_penalty=ZERO_CENTRED)
GAN_MODES = GAN_LOSSES.keys()


def _sign(wanted):
    """The sign of a loss that falls as scores approach the label 1, or 0."""
    return 1.0 - 2.0 * wanted


def generator_adversarial(
    fake_scores: jax.Array, mode: str, *, wanted: Literal[0, 1] = 1
) -> jax.Array:
    """What a generator minimises to make its images score as real ones.

    Args:
      fake_scores: [...] scores of generated images.
      mode: one of `GAN_LOSSES`.
      wanted: the label that it wants: 1, that of real images, or 0 (`methods.bigan`).

    Raises:
      ValueError: the mode is not known.
    """
    return jnp.mean(_gan_loss(mode).generator(fake_scores, wanted))


def discriminator_adversarial(
    real_scores: jax.Array, fake_scores: jax.Array, mode: str
) -> jax.Array:
    """What a discriminator minimises to tell real images from generated ones.

    Half the sum of the two terms: this slows the discriminator down relative to the
    generator (Zhu et al. 2017, appendix 7.1). A mode's penalty is added to it.

    Args:
      real_scores: [...] scores of real images.
      fake_scores: the same for generated images.
      mode: one of `GAN_LOSSES`.

    Raises:
      ValueError: the mode is not known.
    """
    loss = _gan_loss(mode)
    return 0.5 * (jnp.mean(loss.real(real_scores)) + jnp.mean(loss.fake(fake_scores)))


def _gan_loss(mode):
    if mode not in GAN_LOSSES:
        raise ValueError(f"unknown GAN mode {mode!r}; choose from {[*GAN_LOSSES]}")
    return GAN_LOSSES[mode]


def gradient_penalty(
    score: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    mixing: jax.Array,
    penalty: Penalty = ONE_CENTRED,
) -> jax.Array:
    """Pulls the norm of the discriminator's gradient towards the centre of a penalty.

    With the default, towards 1 (Gulrajani et al. 2017); those of all patches are added.

    Args:
      score: the discriminator, from images to scores [B, ...].
      real: [B, H, W, C] real images.
      fake: the same number of generated images.
      mixing: [B] share of the real image in the point where the gradient is taken.
      penalty: see `Penalty`.

    Returns:
      [] mean over the batch of (|gradient|_2 - centre)^2.
    """
    _check_same_shape(real, fake)
    share = mixing.reshape(-1, 1, 1, 1)
    between = share * real + (1.0 - share) * fake

    def whole(images):
        scores = score(images)
        total = jnp.sum(scores)
        return total / scores[0].size if penalty.mean else total

    gradients = jax.grad(whole)(between)
    # The small number keeps the norm differentiable at a gradient of exactly 0.
    norms = jnp.sqrt(jnp.sum(jnp.square(gradients), axis=(1, 2, 3)) + 1e-12)
    return jnp.mean(jnp.square(norms - penalty.centre))


def overfitting(real_scores: jax.Array, mode: str) -> jax.Array:
    """ADA's heuristic r_t = E[sign(D(real))] (Karras et al. 2020, section 3.1).

    About 0 for a discriminator that cannot tell training images from generated ones, 1
    for one that is right about every patch of every training image. Their scores are
    logits; here, the score halfway between the labels is subtracted, 1/2 for `lsgan`.

    Args:
      real_scores: [...] scores of real images.
      mode: one of `GAN_LOSSES`.

    Returns:
      [] in [-1, 1].

    Raises:
      ValueError: the mode is not known, or its scores have no such middle.
    """
    undecided = _gan_loss(mode).undecided
    if undecided is None:
        raise ValueError(f"GAN mode {mode!r} has no score between real and generated")
    return jnp.mean(jnp.sign(real_scores - undecided))


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute difference of two equally shaped arrays.

    Raises:
      ValueError: the shapes differ; they would broadcast otherwise.
    """
    _check_same_shape(prediction, target)
    return jnp.mean(jnp.abs(prediction - target))


def structure_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Compares the layouts of images by the keys of a vision transformer.

    The mean squared difference of the keys' self-similarities, the matrices of cosines
    between all pairs of tokens: the structure loss of Splice (Tumanyan et al. 2022; the
    released code takes the mean of the squares where the paper has the Frobenius norm).

    Args:
      a: [B, T, D] keys of images.
      b: the same of others.

    Returns:
      [B] distances, at most 4.
    """
    _check_same_shape(a, b)
    difference = _self_similarity(a) - _self_similarity(b)
    return jnp.mean(jnp.square(difference), axis=(1, 2))


def _self_similarity(keys):
    norms = jnp.sqrt(jnp.sum(jnp.square(keys), axis=-1, keepdims=True) + 1e-16)
    keys = keys / norms
    return jnp.einsum("bsd,btd->bst", keys, keys)


def patch_nce(queries: jax.Array, keys: jax.Array, temperature: float) -> jax.Array:
    """How well each patch is told from others of its image (Park et al. 2020).

    Args:
      queries: [B, P, C] unit vectors of P patches of each image.
      keys: of the same places in their inputs; without gradient.
      temperature: by which the cosines of their angles are divided.

    Returns:
      [] the mean cross entropy of each query's own place in the softmax over its image.

    Raises:
      ValueError: the shapes differ.
    """
    _check_same_shape(queries, keys)
    cosines = jnp.einsum("bqc,bkc->bqk", queries, jax.lax.stop_gradient(keys))
    right = jnp.trace(
        jax.nn.log_softmax(cosines * (1.0 / temperature)), axis1=1, axis2=2
    )
    return -jnp.mean(right) / queries.shape[1]


def _check_same_shape(a, b):
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
