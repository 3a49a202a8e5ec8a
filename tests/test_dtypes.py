"""No method mixes types by accident: its step is traced with strict promotion.

Not all tests are: Optax's Adam promotes its counter.
"""

import importlib

import jax
import jax.numpy as jnp
import optax
import pytest

from cyclegan_jax.core.methods.registry import METHODS
from cyclegan_jax.runs.experiment import Experiment
from tests import slow_but


@pytest.mark.parametrize("dtype", slow_but(["bfloat16"], ["float32", "bfloat16"]))
@pytest.mark.parametrize("method", METHODS)
def test_promotion_is_explicit(method, dtype):
    name = "streets" if method == "cyclegan" else method
    config = importlib.import_module(f"configs.{name}").get_config("smoke")
    config.compute_dtype, config.ema_decay = dtype, 0.9
    experiment, size = Experiment.of(config), (config.data.crop_size,) * 2
    optimizer = optax.sgd(0.1)
    given = {}
    if method == "feature_gan":
        given = experiment.pretrained_parameters()
    state, pools = jax.eval_shape(
        lambda: experiment.create(optimizer, size, slots=1, given=given)
    )
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    batch = {"a": images, "b": images, "slot": jax.ShapeDtypeStruct((1,), jnp.int32)}
    with jax.numpy_dtype_promotion("strict"):
        jax.make_jaxpr(experiment.step(optimizer, "cpu"), axis_env=[("batch", 1)])(
            state, pools, batch, jax.ShapeDtypeStruct((), jnp.uint32)
        )
