"""The programs of accelerators: over a dilated input no window is beyond its kernel.

Differentiated by JAX itself, a transposed convolution has one as large as an image.
"""

import re

import jax
import jax.numpy as jnp
import pytest
from jax import export, lax

from cyclegan_jax.core import networks
from cyclegan_jax.core.networks import convolutions
from tests import slow_but

SIZE = 32
GENERATORS = {
    "resnet": networks.generator("resnet_1blocks", width=4),
    "resnet_zero_padded": networks.generator(
        "resnet_1blocks", width=4, reflect=False, down_kernel=4, remat=True
    ),
    "unet": networks.generator("unet_32", width=4, norm="batch"),
}
DISCRIMINATORS = {
    "basic": networks.discriminator("basic", width=4),
    "stem": networks.discriminator(
        "n_layers", width=4, stem_kernel=7, score_kernel=1, norm="none"
    ),
    "pixel": networks.discriminator("pixel", width=4),
}
COUPLED = {
    "coupled_generator": networks.CoupledGenerator(size=SIZE, width=4),
    "coupled_discriminator": networks.CoupledDiscriminator(width=4),
}
_CONVOLUTION = re.compile(
    r"stablehlo\.convolution\(.*?x\[(?P<axes>[^\]]*)\]->.*?window = \{(?P<window>.*?)\}"
    r".*?\(tensor<[^>]*>, tensor<(?P<shape>[\dx]+)x\w+>\)"
)


def dilated_windows(function, platform, *args):
    """Of the program for that platform: sides of windows over dilated inputs."""
    exported = export.export(jax.jit(function), platforms=[platform])(*args)
    text = exported.mlir_module()
    found = list(_CONVOLUTION.finditer(text))
    assert len(found) == text.count("stablehlo.convolution(") > 0
    for convolution in found:
        dilation = re.search(r"lhs_dilate = \[([\d, ]*)\]", convolution["window"])
        if dilation and set(dilation[1].split(", ")) != {"1"}:
            axes = convolution["axes"].split(", ")
            shape = [int(side) for side in convolution["shape"].split("x")]
            yield shape[axes.index("0")], shape[axes.index("1")]


def training_gradient(module, inputs):
    """Returns variables, and the gradient of a loss with a gradient penalty."""
    variables = jax.eval_shape(
        lambda inputs: module.init(jax.random.key(0), inputs, train=True), inputs
    )

    def loss(params, inputs):
        def score(inputs):
            y, _ = module.apply(
                {**variables_of(params)}, inputs, train=True, mutable=["batch_stats"]
            )
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(y))

        value, gradient = jax.value_and_grad(score)(inputs)
        leaves = jax.tree.leaves(gradient)
        return value + sum(jnp.sum(jnp.square(leaf)) for leaf in leaves)

    def variables_of(params):
        stats = variables.get("batch_stats", {})
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), stats)
        return {"params": params, "batch_stats": zeros}

    return variables["params"], jax.grad(loss, (0, 1))


@pytest.mark.parametrize("platform", slow_but(["tpu"], ["cuda", "tpu"]))
@pytest.mark.parametrize("name", [*GENERATORS, *DISCRIMINATORS, *COUPLED])
def test_windows_of_a_network(name, platform):
    module = (GENERATORS | DISCRIMINATORS | COUPLED)[name]
    inputs = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    if name == "coupled_generator":
        inputs = jax.ShapeDtypeStruct((2, 8), jnp.float32)
    elif name == "coupled_discriminator":
        inputs = (inputs, inputs)
    params, gradient = training_gradient(module, inputs)
    kernels = {leaf.shape[:2] for leaf in jax.tree.leaves(params) if leaf.ndim == 4}
    windows = list(dilated_windows(gradient, platform, params, inputs))
    assert set(windows) <= kernels
    assert bool(windows) == (name != "pixel")  # Whose convolutions have no stride.


def test_what_is_looked_for():
    """JAX's own gradient has such a window, so that the test above can fail."""
    x = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 3, 4), jnp.float32)

    def plain(x, kernel):
        pads, layout = [(1, 2), (1, 2)], ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), pads, (2, 2), dimension_numbers=layout
        )

    def windows(form):
        def gradient(x, kernel):
            return jax.grad(lambda kernel: jnp.sum(form(x, kernel) ** 2))(kernel)

        return set(dilated_windows(gradient, "cuda", x, kernel))

    assert windows(plain) == {(3, 3), (32, 32)}
    assert windows(convolutions.conv_transpose) == {(3, 3)}
