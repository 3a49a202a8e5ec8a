"""The generators as ONNX graphs, for programs without JAX.

ONNX has the operators of the published networks, so each layer is one or two nodes.
Internally, arrays are channels first, as ONNX requires: [B, C, H, W].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from flax import linen as nn
from onnx import helper, numpy_helper

from cyclegan_jax.core.networks import ResNetGenerator, UNetGenerator, norms
from cyclegan_jax.errors import UserError

OPSET = 17  # Of 2022, for compatibility with old runtimes.
_IR_VERSION = 8  # The file format of that time.


def build(
    module: nn.Module,
    variables: Mapping[str, Any],
    channels: int,
    about: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Writes a generator in evaluation mode as an ONNX model.

    Args:
      module: a ResNet or a U-Net.
      variables: what its `apply` takes.
      channels: of the input.
      about: metadata on the origin of the file.

    Returns:
      The model, checked: `images`, float32 [B, H, W, channels] in [-1, 1], to
      `translations`, float32 [B, H, W, C] in [-1, 1]. Whatever `module.dtype` is, it
      computes in float32.

    Raises:
      UserError: there is no ONNX form of this network.
    """
    kinds = {ResNetGenerator: _resnet, UNetGenerator: _unet}
    if type(module) not in kinds:
        raise UserError(
            f"a {type(module).__name__} cannot be written as ONNX; write a .stablehlo"
            " file instead."
        )
    graph = _Graph(module.norm, variables)
    x = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    x = graph.add("Tanh", kinds[type(module)](graph, module, x))
    last = helper.make_node("Transpose", [x], ["translations"], perm=[0, 2, 3, 1])
    model = helper.make_model(
        helper.make_graph(
            [*graph.nodes, last],
            type(module).__name__,
            [_images("images", channels)],
            [_images("translations", module.channels)],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="cyclegan_jax",
    )
    helper.set_model_props(model, dict(about or {}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _images(name, channels):
    shape = ["batch", "height", "width", channels]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


class _Graph:
    """Nodes and weights, collected layer by layer; values are referred to by name."""

    def __init__(self, norm, variables):
        self.nodes, self.weights = [], []
        self._norm = norm
        self._params = variables.get("params", {})
        self._stats = variables.get("batch_stats", {})

    def add(self, operator, *inputs, **attributes):
        """Adds a node and returns the name of its result."""
        result = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        return result

    def constant(self, name, values):
        array = np.ascontiguousarray(values)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x, path, *, stride=1, padding=0, reflect=False):
        if reflect and padding:
            pads = np.array([0, 0, padding, padding] * 2, np.int64)
            x = self.add("Pad", x, self.constant(f"{path}/pads", pads), mode="reflect")
            padding = 0
        kernel = _get(self._params, path)["kernel"].transpose(3, 2, 0, 1)
        inputs = [x, self.constant(f"{path}/kernel", kernel), *self._bias(path)]
        return self.add("Conv", *inputs, strides=[stride] * 2, pads=[padding] * 4)

    def downsample(self, x, channels):
        """`antialiasing.downsample`, as a convolution of each channel by itself."""
        pads = np.array([0, 0, 1, 1] * 2, np.int64)
        x = self.add("Pad", x, self.constant(f"{x}/pads", pads), mode="reflect")
        taps = np.array([1, 2, 1], np.float32) / 4
        kernel = np.broadcast_to(np.outer(taps, taps), (channels, 1, 3, 3))
        inputs = [x, self.constant(f"{x}/blur", kernel)]
        return self.add("Conv", *inputs, strides=[2, 2], group=channels)

    def upsample(self, x):
        """`antialiasing.upsample`."""
        scales = self.constant(f"{x}/scales", np.array([1, 1, 2, 2], np.float32))
        return self.add("Resize", x, "", scales, mode="linear")

    def conv_transpose(self, x, path):
        """Doubles height and width, as `layers.ConvTranspose`."""
        kernel = _get(self._params, path)["kernel"][::-1, ::-1].transpose(2, 3, 0, 1)
        odd = kernel.shape[-1] % 2
        inputs = [x, self.constant(f"{path}/kernel", kernel), *self._bias(path)]
        sizes = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [odd] * 2}
        return self.add("ConvTranspose", *inputs, **sizes)

    def _bias(self, path):
        params = _get(self._params, path)
        return (
            [self.constant(f"{path}/bias", params["bias"])] if "bias" in params else []
        )

    def norm(self, x, path, channels):
        if self._norm == "none":
            return x
        params = _get(self._params, path)
        scale = params.get("scale", np.ones(channels, np.float32))
        bias = params.get("bias", np.zeros(channels, np.float32))
        tensors = {"scale": scale, "bias": bias}
        if self._norm == "batch":
            stats = _get(self._stats, path)
            tensors |= {"mean": stats["mean"], "var": stats["var"]}
        inputs = [self.constant(f"{path}/{key}", t) for key, t in tensors.items()]
        operator = "Batch" if self._norm == "batch" else "Instance"
        return self.add(f"{operator}Normalization", x, *inputs, epsilon=norms.EPSILON)


def _get(tree, path):
    """Reads block_0/conv_0 of a tree; a norm without parameters is not in it."""
    for key in path.split("/"):
        tree = tree.get(key, {})
    return {key: np.asarray(value) for key, value in tree.items()}


def _resnet(graph, module, x):
    """`ResNetGenerator.__call__` up to its tanh."""

    def activate(x, name, channels):
        return graph.add("Relu", graph.norm(x, name, channels))

    outer = {"padding": module.outer_kernel // 2, "reflect": module.reflect}
    inner = {"padding": 1, "reflect": module.reflect}
    x = activate(graph.conv(x, "conv_in", **outer), "norm_in", module.width)
    for i in range(2):
        stride, channels = 1 if module.antialias else 2, module.width * 2 ** (i + 1)
        x = graph.conv(x, f"down_{i}", stride=stride, padding=1)
        x = activate(x, f"down_norm_{i}", channels)
        x = graph.downsample(x, channels) if module.antialias else x
    for i in range(module.blocks):
        block, channels = f"block_{i}", module.width * 4
        y = graph.conv(x, f"{block}/conv_0", **inner)
        y = activate(y, f"{block}/norm_0", channels)
        y = graph.conv(y, f"{block}/conv_1", **inner)
        x = graph.add("Add", x, graph.norm(y, f"{block}/norm_1", channels))
    for i in range(2):
        if module.antialias_up:
            x = graph.conv(graph.upsample(x), f"up_{i}", padding=1)
        else:
            x = graph.conv_transpose(x, f"up_{i}")
        x = activate(x, f"up_norm_{i}", module.width * 2 ** (1 - i))
    return graph.conv(x, "conv_out", **outer)


def _unet(graph, module, x):
    """`UNetGenerator.__call__` up to its tanh."""
    features = [module.width * min(2**i, 8) for i in range(module.downs)]
    innermost = module.downs - 1
    x = graph.conv(x, "down_0", stride=2, padding=1)
    skips = [x]
    for i in range(1, module.downs):
        x = graph.add("LeakyRelu", x, alpha=0.2)
        x = graph.conv(x, f"down_{i}", stride=2, padding=1)
        if i < innermost:
            x = graph.norm(x, f"down_norm_{i}", features[i])
            skips.append(x)
    for i in range(innermost, 0, -1):
        x = graph.conv_transpose(graph.add("Relu", x), f"up_{i}")
        x = graph.norm(x, f"up_norm_{i}", features[i - 1])
        x = graph.add("Concat", skips[i - 1], x, axis=1)
    return graph.conv_transpose(graph.add("Relu", x), "up_0")
