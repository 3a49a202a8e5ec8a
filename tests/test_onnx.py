"""The ONNX files in ONNX Runtime, against PyTorch's outputs and our networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from configs import folder
from cyclegan_jax import torch_files
from cyclegan_jax.core import networks
from cyclegan_jax.errors import UserError
from cyclegan_jax.export import exporting as export
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.runs import import_weights
from tests import slow_but
from tests.oracle import cases
from tests.test_export import documented
from tests.test_parity import assert_close, build

onnx = pytest.importorskip("onnx", reason="needs onnx and onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
onnx_graph = pytest.importorskip("cyclegan_jax.export.onnx_graph")

CLOSE = 1e-4  # Of the largest output; another implementation in float32.


def translate(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["translations"], {"images": images})[0]


GENERATORS = [
    *cases.case_names("resnet"),
    *cases.case_names("blurresnet"),
    *cases.case_names("unet"),
]


@pytest.mark.parametrize("name", GENERATORS)
def test_agrees_with_pytorch(name):
    case = cases.load_case(name)
    module = build(case["config"]["network"], case["config"]["kwargs"])
    variables = torch_names.from_torch(module, cases.subtree(case, "state"))
    model = onnx_graph.build(module, variables, case["input"].shape[-1])
    expected = case.get("output_eval", case["output"])
    assert_close(translate(model, case["input"]), expected, CLOSE)


ZERO_PADDED = ("resnet_1blocks", {"reflect": False, "norm": "none"})


@pytest.mark.parametrize(
    ("name", "settings"),
    slow_but(
        [ZERO_PADDED],
        [
            ZERO_PADDED,
            ("resnet_3blocks", {}),
            ("resnet_1blocks", {"outer_kernel": 5, "down_kernel": 4, "norm": "batch"}),
            ("resnet_1blocks", {"channels": 1, "dtype": jnp.bfloat16}),
            ("unet_16", {"norm": "instance_affine"}),
        ],
    ),
)
def test_any_setting_batch_and_size(name, settings):
    """Of which PyTorch has no counterpart, or the cases none; in float32."""
    module = networks.generator(name, width=4, init_gain=0.2, **settings)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    if "batch_stats" in variables:  # As after some training.
        stats = jax.tree.map(lambda x: x + 0.3, variables["batch_stats"])
        variables = {**variables, "batch_stats": stats}
    model = onnx_graph.build(module, variables, 3)
    rng = np.random.default_rng(0)
    least = export.least_size(module)
    for shape in ((2, 32, 48, 3), (1, 2 * least, least, 3)):
        images = rng.uniform(-1, 1, shape).astype(np.float32)
        expected = module.clone(dtype=jnp.float32).apply(variables, images)
        assert np.std(expected) > 1e-3
        assert_close(translate(model, images), expected, CLOSE)


def test_the_file_and_the_documented_loader(tmp_path):
    case = cases.load_case("unet_batch_wide")
    torch_files.write(tmp_path / "g.pth", cases.subtree(case, "state"))
    import_weights({"g_ba": tmp_path / "g.pth"}, tmp_path / "run", folder.get_config())
    assert Run.load(tmp_path / "run").generator("BtoA") == "g_ba"
    file = tmp_path / "exported.onnx"
    said = export.export(tmp_path / "run", file, "BtoA")
    assert "multiples of 32, from 32 on" in said
    actual = documented("onnxruntime", case["input"], file, tmp_path)
    assert_close(actual, case["output_eval"], CLOSE)
    about = {p.key: p.value for p in onnx.load(file).metadata_props}
    assert about["direction"] == "BtoA"
    assert about["step"] == "0"
    assert "multiples of 32" in about["contract"]


def test_networks_without_an_onnx_form_are_named():
    with pytest.raises(UserError, match="a Dense cannot be written as ONNX"):
        onnx_graph.build(nn.Dense(3), {}, 3)
