"""Generators as files: the same function, without this library."""

import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from configs import folder
from cyclegan_jax import torch_files
from cyclegan_jax.core import networks
from cyclegan_jax.core.networks.convolutions import bfloat16
from cyclegan_jax.errors import UserError
from cyclegan_jax.export import exporting as export
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.runs import import_weights
from tests import slow_but
from tests.oracle import cases
from tests.test_parity import assert_close, build

ROOT = pathlib.Path(__file__).parent.parent
CASE = "resnet_instance"
EXACT = 1e-5  # See test_parity.py.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose weights came from PyTorch; it has only the generator AtoB."""
    path = tmp_path_factory.mktemp("runs")
    torch_files.write(path / "g.pth", cases.subtree(cases.load_case(CASE), "state"))
    import_weights({"g_ab": path / "g.pth"}, path / "run", folder.get_config())
    return path / "run"


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cyclegan_jax.export", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def documented(package, images, model, path):
    """Runs what docs/export.md says, in a process that knows nothing else."""
    text = (ROOT / "docs/export.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = [code for code in snippets if f"import {package}\n" in code]
    name = re.search(r"model\.\w+", code)[0]
    (path / name).write_bytes(pathlib.Path(model).read_bytes())
    np.save(path / "images.npy", images)
    script = (
        "import sys\nimport numpy\nimages = numpy.load('images.npy')\n"
        f"{code}\nnumpy.save('translations.npy', translations)\n"
        "print(*{'cyclegan_jax', 'flax', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == "\n"
    return np.load(path / "translations.npy")


@pytest.mark.slow
def test_the_command_and_the_documented_loader(run, tmp_path):
    case = cases.load_case(CASE)
    model = tmp_path / "models/model.stablehlo"
    result = command(f"--workdir={run}", f"--output={model}")
    assert result.returncode == 0, result.stderr
    assert "float32 [B, H, W, 3]" in result.stdout
    assert "multiples of 4, from 8 on" in result.stdout
    assert [path.name for path in model.parent.iterdir()] == ["model.stablehlo"]
    actual = documented("jax", case["input"], model, tmp_path)
    assert_close(actual, case["output"], EXACT)


@pytest.mark.parametrize(
    ("name", "other"),
    slow_but(
        [("resnet_none", (1, 12, 8)), ("unet_batch_wide", (2, 64, 32))],
        [
            ("resnet_batch", (3, 8, 12)),
            ("resnet_gray", (2, 20, 8)),
            ("resnet_none", (1, 12, 8)),
            ("blurresnet_instance", (1, 12, 8)),
            ("unet_batch_wide", (2, 64, 32)),
            ("unet_instance_affine_wide", (2, 32, 32)),
        ],
    ),
)
def test_any_batch_and_size(name, other):
    """Of PyTorch's case, and another one."""
    case = cases.load_case(name)
    module = build(case["config"]["network"], case["config"]["kwargs"])
    variables = torch_names.from_torch(module, cases.subtree(case, "state"))
    channels = case["input"].shape[-1]
    content = export.stablehlo(module, variables, channels)
    translate = jax_export.deserialize(bytearray(content)).call
    expected = case.get("output_eval", case["output"])
    assert_close(translate(case["input"]), expected, EXACT)
    shape = (*other, channels)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    assert_close(translate(images), module.apply(variables, images), EXACT)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("resnet_1blocks", {}, marks=pytest.mark.slow),
        ("unet_8", {"norm": "instance"}),
    ],
)
def test_bfloat16_of_any_size(name, settings, monkeypatch):
    """Also where this process multiplies bfloat16 in a form for fixed sizes."""
    monkeypatch.setattr(bfloat16, "uses_matrix_unit", lambda: True)
    jax.clear_caches()
    module = networks.generator(name, width=16, dtype=jnp.bfloat16, **settings)
    shape = (2, 16, 24, 3)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    variables = module.init(jax.random.key(0), images)
    content = export.stablehlo(module, variables, 3)
    actual = jax_export.deserialize(bytearray(content)).call(images)
    expected = module.apply(variables, images)
    jax.clear_caches()
    assert actual.dtype == np.float32
    # Roundings of 1/256 relative, in some ten layers.
    assert_close(actual, expected, 0.05)


@pytest.mark.parametrize("platform", export.PLATFORMS)
def test_each_platform_has_its_own_right_form(platform):
    """A program for one platform is computed on this one."""
    case = cases.load_case(CASE)
    module = build(case["config"]["network"], case["config"]["kwargs"])
    variables = torch_names.from_torch(module, cases.subtree(case, "state"))
    one = jax_export.deserialize(
        bytearray(export.stablehlo(module, variables, 3, platforms=[platform]))
    )
    # On GPUs alone the last 7x7 convolution is not written as one of 7x1 taps.
    assert ("<7x1x" in one.mlir_module()) == (platform in ("cpu", "tpu"))
    unchecked = jax_export.deserialize(
        bytearray(
            jax_export.export(
                jax.jit(one.call),
                platforms=[platform],
                disabled_checks=[jax_export.DisabledSafetyCheck.platform()],
            )(jax.ShapeDtypeStruct(case["input"].shape, jnp.float32)).serialize()
        )
    )
    assert_close(unchecked.call(case["input"]), case["output"], EXACT)


def test_other_sizes_are_refused():
    module = networks.generator("unet_8", width=2)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    exported = jax_export.deserialize(bytearray(export.stablehlo(module, variables, 3)))
    assert exported.platforms == export.PLATFORMS
    assert exported.call(np.zeros((1, 8, 16, 3), np.float32)).shape == (1, 8, 16, 3)
    with pytest.raises(ValueError, match="remainder 4"):
        exported.call(np.zeros((1, 8, 12, 3), np.float32))
    with pytest.raises(ValueError, match="Shape mismatch"):
        exported.call(np.zeros((1, 8, 8, 1), np.float32))


@pytest.mark.slow
def test_steps_and_moving_averages(run, tmp_path):
    """Two checkpoints, whose averages are other networks than their parameters."""
    variables = Run.load(run).variables["g_ab"]["params"]

    def scaled(factor):
        return {"g_ab": jax.tree.map(lambda x: jnp.asarray(x * factor), variables)}

    workdir = tmp_path / "run"
    run_folder.create(workdir, run_folder.read_config(run))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        for step in (1, 2):
            state = {"params": scaled(step), "ema_params": scaled(-step)}
            tree = {"state": state | {"norm_stats": {}}}
            checkpoints.save(step, tree, {})
        diverged = {"params": scaled(np.nan), "ema_params": {}, "norm_stats": {}}
        checkpoints.save(3, {"state": diverged}, {})
    images = cases.load_case(CASE)["input"]
    module = Run.load(run).method.modules["g_ab"]
    for options, factor in (
        ({"step": 2}, -2),
        ({"step": 2, "average": False}, 2),
        ({"step": 1}, -1),
    ):
        file = tmp_path / "model.stablehlo"  # Replaced each time.
        export.export(workdir, file, **options)
        exported = jax_export.deserialize(bytearray(file.read_bytes()))
        expected = module.apply({"params": scaled(factor)["g_ab"]}, images)
        assert_close(exported.call(images), expected, EXACT)
    with pytest.raises(UserError, match="step 3 are not finite"):  # The newest.
        export.export(workdir, file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workdir": "nowhere"}, "nowhere"),
        ({"direction": "AtoC"}, "'AtoC' is not AtoB or BtoA"),
        ({"direction": "BtoA"}, "has no generator BtoA"),
        ({"step": 3}, "no checkpoint of step 3"),
        ({"output": "model.pb"}, r"must end in \.stablehlo .* or \.onnx"),
        ({"output": "folder"}, "must end in"),
        ({"output": "file/model.stablehlo"}, "cannot be written"),
        ({"output": "folder.stablehlo"}, r"cannot be written \(.*a directory"),
    ],
)
def test_mistakes(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.stablehlo").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments = {"workdir": run, "output": "new/model.stablehlo"} | arguments
    with pytest.raises(UserError, match=message):
        export.export(**arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_package_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'onnx>="):
        export.export(run, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output=x.onnx",), "missing: --workdir"),
        (("--workdir=nowhere", "--output=x.stablehlo"), "nowhere"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    result = command(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
