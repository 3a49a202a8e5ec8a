"""What XLA:CPU holds during a step: nothing that can be made when it is needed."""

import os

import jax
import jax.numpy as jnp
import pytest

from benchmarks import ours
from cyclegan_jax.core.networks import convolutions, statistics
from cyclegan_jax.machine import runtime


def temporary(function, *arguments):
    """The temporary memory of a compiled function, in bytes."""
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def growth(make, image):
    """What each of four more layers takes, in images."""
    few, many = (temporary(*make(layers)) for layers in (2, 6))
    return (many - few) / 4 / image


def test_patches_are_made_in_the_backward_pass():
    """As large as sixteen images; only those of one layer are there at a time."""

    def make(layers):
        def loss(kernels, x):
            for kernel in kernels:
                x = jnp.sin(convolutions.conv(x, kernel, padding=2)[:, 1:, 1:])
            return jnp.sum(x)

        kernels = [jax.ShapeDtypeStruct((4, 4, 16, 16), jnp.float32)] * layers
        return jax.grad(loss), kernels, jax.ShapeDtypeStruct((1, 64, 64, 16), "float32")

    assert growth(make, image=64 * 64 * 16 * 4) < 4


def test_a_norm_keeps_its_result_alone():
    """And not its input, from which XLA would compute the result again."""

    def make(layers):
        def loss(kernel, x):
            for _ in range(layers):
                y = statistics.standardise(convolutions.conv(x, kernel))
                x = jax.nn.relu(y)  # Kept, too: the input of the next layer.
            return jnp.sum(jnp.square(x))

        kernel = jax.ShapeDtypeStruct((1, 1, 64, 64), jnp.float32)
        return jax.grad(loss), kernel, jax.ShapeDtypeStruct((1, 64, 64, 64), "float32")

    assert growth(make, image=64**3 * 4) < 2.5


@pytest.mark.slow
def test_kernel_gradients_wait_as_kernels(monkeypatch):
    """For those of other passes; as the products of Winograd's form they are larger."""
    monkeypatch.setattr(runtime, "configure", lambda: None)  # pytest's process is.
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])

    def held(blocks):
        step = ours.compile_step(ours.make_config(64, blocks, batch=2))
        return step.memory_analysis().temp_size_in_bytes

    # What a block adds: its places are 16 products where a kernel has 9 taps.
    assert held(3) - held(2) < 17 * (9 * 256**2 * 4)
