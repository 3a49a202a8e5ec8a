"""Standardised channels: every platform's form, against NumPy's in float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from cyclegan_jax.core.networks import norms, statistics
from tests.test_convolutions import on

PLATFORMS = ["cpu", "cuda", "tpu"]


def images(offset):
    x = offset + np.random.default_rng(0).normal(size=(2, 16, 12, 3))
    return x.astype(np.float32)


def by_definition(x):
    centred = x - jnp.mean(x, (1, 2), keepdims=True)
    var = jnp.mean(centred**2, (1, 2), keepdims=True)
    return centred / jnp.sqrt(var + norms.EPSILON)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_standardised(platform, offset, dtype):
    x = jnp.asarray(images(offset), dtype)
    y = on(platform, statistics.standardise, x)
    exact = np.asarray(x, np.float64)
    centred = exact - exact.mean((1, 2), keepdims=True)
    var = np.mean(centred**2, (1, 2), keepdims=True)
    assert y.dtype == jnp.float32
    # In one pass the squares of mean and deviation are rounded, not the latter's alone:
    # but for a GPU's float32, which is shifted.
    shifted = platform == "cpu" or (platform, dtype) == ("cuda", "float32")
    bound = 3e-7 + (1e-7 * offset if shifted else 2e-7 * offset**2 / var.min())
    bound *= np.abs(centred / np.sqrt(var)).max()
    np.testing.assert_allclose(y, centred / np.sqrt(var + 1e-5), rtol=0, atol=bound)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_derivatives_of_the_norm(platform):
    """First and second ones, as of the definition."""

    def derivatives(norm):
        def of(x):
            gradient = jax.grad(lambda x: jnp.sum(jnp.sin(3 * norm(x))))
            return gradient(x), jax.grad(lambda x: jnp.sum(gradient(x) ** 2))(x)

        return of

    x = images(1.0)
    actual = on(platform, derivatives(lambda x: norms.InstanceNorm().apply({}, x)), x)
    for a, expected in zip(actual, derivatives(by_definition)(x), strict=True):
        np.testing.assert_allclose(a, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_second_derivatives_at_every_pixel(platform):
    """A pixel that all others are shifted by must not collect their rounding."""

    def second(norm):
        def loss(x):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(3 * norm(x))))(x) ** 2)

        return jax.jit(jax.grad(loss))

    x = np.random.default_rng(0).normal(1.0, size=(1, 128, 128, 2))
    with jax.enable_x64(True):
        expected = np.asarray(second(by_definition)(x))
    actual = on(platform, second(statistics.standardise), x.astype(np.float32))
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_equal_pixels(platform):
    """No variance, nor its rounding error, below 0: the norm's square root is real."""
    x = np.full((1, 8, 8, 2), 1.7, np.float32)
    norm = jax.value_and_grad(lambda x: jnp.sum(norms.InstanceNorm().apply({}, x)))
    value, gradient = on(platform, norm, x)
    assert abs(value) < 0.1
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpus_sum_line_by_line(dtype):
    """Over both axes at once, XLA would store the products that it sums."""

    def gradient(x):
        y, vjp = jax.vjp(statistics.standardise, x)
        return vjp(y)

    def summed(platform):
        x = jax.ShapeDtypeStruct((2, 16, 12, 3), dtype)
        text = export.export(jax.jit(gradient), platforms=[platform])(x).mlir_module()
        return re.findall(r"stablehlo.add across dimensions = \[(.*?)\]", text)

    assert set(summed("cpu")) == {"1, 2"}
    assert set(summed("cuda")) == set(summed("rocm")) == {"2"}
