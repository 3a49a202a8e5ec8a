"""Convolutions with mirrored padding: every platform's form equals padding first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from cyclegan_jax.core.networks import convolutions
from tests.test_convolutions import (
    PLATFORMS,
    arrays,
    assert_equal_second_derivatives,
    assert_equal_with_gradients,
    on,
    plain_conv,
)


def plain_mirrored(x, kernel):
    p = kernel.shape[0] // 2
    return plain_conv(jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), "reflect"), kernel)


def mirrored(x, kernel):
    p = kernel.shape[0] // 2
    return convolutions.conv(x, kernel, padding=p, reflect=True)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("k", "i", "o", "h", "w"),
    [
        (3, 5, 4, 7, 6),
        (3, 64, 64, 8, 6),
        (3, 3, 2, 2, 2),
        (3, 2, 2, 1, 3),
        (7, 3, 4, 8, 9),
        (7, 9, 3, 8, 9),
    ],
)
def test_mirrored_padding(k, i, o, h, w, platform):
    """A side of one pixel has nothing to mirror: it is repeated, as `jnp.pad` does."""
    assert_equal_with_gradients(
        platform, mirrored, plain_mirrored, *arrays(k, i, o, h, w)
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("images", [1, 2])
def test_padding_on_tpus(images, dtype):
    """It moves values, whatever the form."""
    x = arrays(7, 3, 4, 8, 9)[0][:images].astype(dtype)
    identity = jnp.zeros((7, 7, 3, 49), dtype)
    identity = identity.at[..., 0, :].set(jnp.eye(49).reshape(7, 7, 49).astype(dtype))
    # Each channel is an image that is shifted by another tap.
    np.testing.assert_array_equal(
        on("tpu", mirrored, x, identity), on("cpu", mirrored, x, identity)
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_second_derivatives_of_mirrored_padding(platform):
    x, kernel = arrays(3, 6, 4, 5, 6)
    assert_equal_second_derivatives(platform, mirrored, plain_mirrored, x, kernel)


def test_only_tpus_correct_borders():
    x, kernel = arrays(3, 4, 4, 6, 6)
    sizes = {
        platform: "tensor<2x8x8x4xf32>"
        in export.export(jax.jit(mirrored), platforms=[platform])(
            x, kernel
        ).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert sizes == {"cpu": True, "cuda": True, "tpu": False}


@pytest.mark.parametrize("size", ["b, h, w, 4", "b, 6, 7, 4"])
@pytest.mark.parametrize("k", [3, 7])
def test_mirrored_padding_of_any_size(k, size):
    """Exported for TPUs with a symbolic size, as generators are."""
    _, kernel = arrays(k, 4, 5, 6, 7)
    constraints = ["h >= 4", "w >= 4"] if "h" in size else []
    shape = export.symbolic_shape(size, constraints=constraints)
    exported = export.export(
        jax.jit(lambda x: mirrored(x, kernel)),
        platforms=["tpu"],
        disabled_checks=[export.DisabledSafetyCheck.platform()],
    )(jax.ShapeDtypeStruct(shape, jnp.float32))
    x, _ = arrays(k, 4, 5, 6, 7)
    actual = on("tpu", exported.call, x)
    assert abs(actual - plain_mirrored(x, kernel)).max() < 1e-4
