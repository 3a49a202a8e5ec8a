"""Losses against closed forms, computed by hand or by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.core import losses

REAL = np.array([2.0, -1.0, 0.5], np.float32)
FAKE = np.array([0.0, 3.0, -2.0], np.float32)


def bce(scores, target):
    p = 1 / (1 + np.exp(-scores.astype(np.float64)))
    return np.mean(-target * np.log(p) - (1 - target) * np.log(1 - p))


EXPECTED = {
    "lsgan": (((FAKE - 1) ** 2).mean(), ((REAL - 1) ** 2).mean() + (FAKE**2).mean()),
    "lsgan_gp": (((FAKE - 1) ** 2).mean(), ((REAL - 1) ** 2).mean() + (FAKE**2).mean()),
    "vanilla": (bce(FAKE, 1), bce(REAL, 1) + bce(FAKE, 0)),
    "hinge": (-FAKE.mean(), (0 + 2 + 0.5) / 3 + (1 + 4 + 0) / 3),
    "wgangp": (-FAKE.mean(), FAKE.mean() - REAL.mean()),
}


@pytest.mark.parametrize("mode", losses.GAN_MODES)
def test_adversarial(mode):
    generator, discriminator = EXPECTED[mode]
    actual = losses.generator_adversarial(FAKE, mode)
    np.testing.assert_allclose(actual, generator, rtol=1e-6)
    actual = losses.discriminator_adversarial(REAL, FAKE, mode)
    np.testing.assert_allclose(actual, 0.5 * discriminator, rtol=1e-6)


def test_unknown_mode():
    with pytest.raises(ValueError, match="lsgan"):
        losses.generator_adversarial(FAKE, "gan")
    with pytest.raises(ValueError, match="lsgan"):
        losses.discriminator_adversarial(REAL, FAKE, "gan")


def test_vanilla_does_not_overflow():
    scores = np.array([-1e4, 1e4], np.float32)
    np.testing.assert_allclose(losses.generator_adversarial(scores, "vanilla"), 5e3)


def test_gradient_penalty_of_a_linear_score():
    """A linear score has the same gradient everywhere: its weights."""
    weights = jax.random.normal(jax.random.key(0), (4, 4, 3))
    real, fake = jnp.ones((2, 4, 4, 3)), jnp.zeros((2, 4, 4, 3))

    def score(images):
        return jnp.sum(images * weights[None], axis=(1, 2, 3))

    actual = losses.gradient_penalty(score, real, fake, jnp.array([0.2, 0.9]))
    expected = (np.linalg.norm(weights) - 1) ** 2
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_gradient_penalty_mixes_by_image():
    """For the score |x|^2 / 2 the gradient is the mixed image itself."""
    real, fake = jnp.ones((2, 1, 1, 1)), jnp.zeros((2, 1, 1, 1))
    actual = losses.gradient_penalty(
        lambda x: jnp.sum(jnp.square(x)) / 2, real, fake, jnp.array([0.25, 0.5])
    )
    np.testing.assert_allclose(actual, np.mean([0.75**2, 0.5**2]), rtol=1e-5)


def test_gradient_penalty_survives_a_zero_gradient():
    ones = jnp.ones((1, 2, 2, 1))

    def penalty(scale):
        return losses.gradient_penalty(
            lambda x: scale * jnp.sum(x), ones, ones, jnp.ones((1,))
        )

    assert np.isfinite(jax.grad(penalty)(0.0))


def test_l1():
    a, b = jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 4.0]])
    assert losses.l1(a, b) == 1.5
    with pytest.raises(ValueError, match="shapes differ"):
        losses.l1(a, b[0])


def test_patch_nce_is_the_cross_entropy_of_the_own_place():
    """Against a loop in NumPy, the positive beside negatives without it, as published.

    In the authors' code its own place has the logit -10 among the negatives.
    """
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=-1, keepdims=True)
    keys /= np.linalg.norm(keys, axis=-1, keepdims=True)
    terms = []
    for image in range(3):
        for i in range(5):
            cosines = keys[image].astype(np.float64) @ queries[image, i]
            positive = cosines[i]
            cosines[i] = -10.0
            logits = np.array([positive, *cosines]) / 0.07
            terms.append(np.log(np.sum(np.exp(logits - logits[0]))))
    actual = losses.patch_nce(queries, keys, 0.07)
    np.testing.assert_allclose(actual, np.mean(terms), rtol=1e-5)
    # The keys are constants.
    gradient = jax.grad(losses.patch_nce, argnums=(0, 1))(queries, keys, 0.07)
    assert np.any(gradient[0])
    assert not np.any(gradient[1])
    with pytest.raises(ValueError, match="shapes differ"):
        losses.patch_nce(queries, keys[:, :4], 0.07)
