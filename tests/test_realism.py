"""FID and KID: closed forms, the published formulas, and the network in PyTorch."""

import dataclasses
import functools
import pathlib
import types

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

from configs import streets
from cyclegan_jax import torch_files
from cyclegan_jax.core.networks import vgg
from cyclegan_jax.core.networks.published import PUBLISHED
from cyclegan_jax.data import test_transform as prepared
from cyclegan_jax.data.palettes import VOID
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation import Evaluator, FeatureNetworks, feature_networks
from cyclegan_jax.metrics import (
    distances,
    features,
    fid_inception,
    inception,
)
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.metrics.measure import Batch, Task
from cyclegan_jax.metrics.realism import Realism
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.torch_files.download import file_sha256
from tests import slow_but
from tests.oracle import inception as oracle

GOLDEN = pathlib.Path(__file__).parent / "golden_inception.npz"


def their_shapes():
    """PyTorch's names and shapes of all tensors that the features need."""
    blank = jax.ShapeDtypeStruct((1, 299, 299, 3), np.float32)
    abstract = jax.eval_shape(inception.Inception().init, jax.random.key(0), blank)
    names = {ours: theirs for theirs, ours in inception.LEAVES.items()}
    shapes = {}
    for (layer, leaf), x in traverse_util.flatten_dict(abstract["params"]).items():
        shape = tuple(x.shape[i] for i in (3, 2, 0, 1)) if x.ndim == 4 else x.shape
        shapes[f"{layer}.{names[leaf]}"] = shape
    return shapes


@pytest.fixture(scope="module")
def tensors():
    return oracle.weights(their_shapes())


@pytest.mark.parametrize("source", slow_but(["golden"], ["golden", "live"]))
def test_features_are_pytorchs(tensors, source):
    if source == "live":
        pytest.importorskip("torch")
        expected = oracle.features(tensors, oracle.pictures())
    else:
        expected = np.load(GOLDEN)["features"]
    module = inception.Inception()
    variables = {"params": inception.from_torch(module, tensors, "weights")}
    actual = jax.jit(module.apply)(variables, oracle.pictures())
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * scale)


def test_weights_that_are_something_else(tensors):
    some = dict(tensors)
    convert = functools.partial(inception.from_torch, inception.Inception())
    assert len(some) == 94 * 5  # The file has also 94 counters, and a classifier.
    shape = some["Mixed_7c.branch_pool.conv.weight"].shape
    wrong = {"Mixed_7c.branch_pool.conv.weight": np.zeros(shape[::-1], "f4")}
    classifier = some | {"fc.bias": np.zeros(1000, "f4")}
    with pytest.raises(UserError, match="classifier of 1000 classes, such as torchvis"):
        convert(classifier, "x.pth")
    with pytest.raises(UserError, match=r"'Mixed_7c\.branch_pool\.conv\.weight'"):
        convert(some | wrong, "x.pth")
    del some["Conv2d_1a_3x3.bn.bias"]
    with pytest.raises(UserError, match=r"x\.pth lacks the tensor 'Conv2d_1a"):
        convert(some, "x.pth")


def test_weights_from_elsewhere_are_named(tensors, tmp_path, monkeypatch):
    file = tmp_path / "weights.npz"
    np.savez(file, **tensors)
    settings = {"inception": str(file)}
    load = functools.partial(
        FeatureNetworks.load, settings, workdir=tmp_path, palette=None
    )
    (note,) = load().notes
    assert "not the published file (6726825d0af5f729" in note
    network = dataclasses.replace(fid_inception.NETWORK, sha256=file_sha256(file))
    same = dataclasses.replace(fid_inception.EXTRACTOR, network=network)
    monkeypatch.setitem(
        feature_networks.NETWORKS, "inception", lambda r: same.load(r.setting)
    )
    assert load().notes == ()


def test_weights_as_npz(tensors, tmp_path):
    np.savez(tmp_path / "weights.npz", **tensors)
    jax.tree.map(
        np.testing.assert_array_equal,
        fid_inception.EXTRACTOR.load_weights(tmp_path / "weights.npz"),
        {"params": inception.from_torch(inception.Inception(), tensors, "test")},
    )
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickled.npz", **{"Conv2d_1a_3x3.conv.weight": pickled})
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("pickled.npz", "text.npz", "none.npz"):
        with pytest.raises(UserError, match=f"{name} cannot be read as .npz"):
            fid_inception.EXTRACTOR.load_weights(tmp_path / name)


def test_checksum_of_the_release(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "cyclegan_jax").mkdir()
    name = fid_inception.NETWORK.url.removeprefix("https://").replace("/", "_")
    (tmp_path / "cyclegan_jax" / name).write_bytes(b"something else")
    with pytest.raises(
        UserError, match=f"not {fid_inception.NETWORK.sha256}; delete it"
    ):
        fid_inception.EXTRACTOR.load_weights()
    assert len(file_sha256(tmp_path / "cyclegan_jax" / name)) == 64


def test_frechet_distance_of_gaussians():
    """|m1 - m2|^2 + sum (s1 - s2)^2 for covariances with common axes."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    s1, s2 = rng.uniform(0.1, 2, 6), rng.uniform(0.1, 2, 6)
    s1[0] = 0  # Rank-deficient, as with few pictures.
    m1, m2 = rng.normal(size=(2, 6))
    cov1, cov2 = (basis @ np.diag(s**2) @ basis.T for s in (s1, s2))
    expected = np.sum((m1 - m2) ** 2) + np.sum((s1 - s2) ** 2)
    actual = distances.frechet_of_gaussians(m1, cov1, m2, cov2)
    assert actual == pytest.approx(expected, rel=1e-6)
    one = distances.frechet_of_gaussians(np.zeros(1), 4.0, np.ones(1), 9.0)
    assert one == pytest.approx(1 + (2 - 3) ** 2)
    x = rng.normal(size=(50, 6))
    assert distances.frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert distances.frechet(x, x + 2.0) == pytest.approx(6 * 4)


def published_kid(x, y):
    """The unbiased estimate, pair by pair."""
    n, m, d = len(x), len(y), x.shape[1]

    def k(a, b):
        return (a @ b / d + 1) ** 3

    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    xy = sum(k(a, b) for a in x for b in y)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def test_kid():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 5)), rng.normal(0.5, 1, size=(7, 5))
    actual = distances.kid(x, y)
    assert actual.value == pytest.approx(published_kid(x, y))
    leave_x = [published_kid(np.delete(x, i, 0), y) for i in range(9)]
    leave_y = [published_kid(x, np.delete(y, i, 0)) for i in range(7)]
    variance = 8 * np.var(leave_x) + 6 * np.var(leave_y)
    assert actual.standard_error == pytest.approx(np.sqrt(variance))


def test_standard_error_is_one():
    """The spread of the estimate over many sets, within a third."""
    rng = np.random.default_rng(0)

    def draw(shift):
        found = []
        for _ in range(200):
            x, y = rng.normal(size=(2, 40, 4))
            found.append(distances.kid(x, y + shift))
        return np.array(found).T

    values, errors = draw(1.0)
    assert 0.67 < np.mean(errors) / np.std(values) < 1.5
    values, errors = draw(0.0)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)  # Unbiased.
    assert 1.0 < np.mean(errors) / np.std(values) < 2.0  # On the safe side.


def test_resizing():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    clean = features.resize(photo, 299, 128.0)
    assert clean.shape == (2, 299, 299, 3)
    plane = Image.fromarray(photo[1, ..., 2].astype(np.float32))
    plane = np.asarray(plane.resize((299, 299), Image.BICUBIC)).clip(0, 255)
    np.testing.assert_allclose(clean[1, ..., 2], (plane - 128) / 128, atol=1e-6)
    gray = features.resize(photo[..., :1], 299, 128.0)
    np.testing.assert_array_equal(gray[..., 0], clean[..., 0])
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    same = rng.integers(0, 256, (1, 299, 299, 3), dtype=np.uint8)
    legacy = fid_inception.legacy_pytorch(same)
    np.testing.assert_allclose(legacy, same / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 60), (500, 420)])
def test_legacy_resizing_is_pytorchs(shape):
    torch = pytest.importorskip("torch")
    photo = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    planes = torch.from_numpy(photo.transpose(0, 3, 1, 2)).float() / 255
    expected = torch.nn.functional.interpolate(
        planes, size=(299, 299), mode="bilinear", align_corners=False
    )
    expected = 2 * expected.numpy().transpose(0, 2, 3, 1) - 1
    actual = fid_inception.legacy_pytorch(photo)
    np.testing.assert_allclose(actual, expected, atol=2e-5)


class Averages:
    """A stand-in for a network: mean colours as features."""

    def __init__(self, extractor):
        self.extractor = extractor

    def __call__(self, batches, convention):
        means = [batch.mean(axis=(1, 2)) / 255 for batch in batches]
        return np.concatenate(means) + (convention == "clean")


INCEPTION = {"inception": Averages(EXTRACTORS["inception"])}


@pytest.fixture(scope="module")
def data():
    """A data set, its preprocessing, and its test images of B as they are prepared."""
    config = streets.get_config("smoke")
    experiment = Experiment.of(config)
    dataset, preprocess = experiment.dataset(), experiment.preprocess
    transform = prepared(preprocess)
    real = np.stack([transform(dataset.test_b[i], "") for i in range(4)])
    return dataset, preprocess, real


def measured(data, networks, references):
    dataset, preprocess, real = data
    task = Task("AtoB", dataset, prepared(preprocess), networks, references)
    realism = Realism.create(task)
    values = {}
    for images in (255 - real, real):  # As for two checkpoints.
        realism.reset()
        realism.update(Batch([], real, images))
        values = realism.compute()
    return {metric.key: value for metric, value in values.items()}


def test_conventions_and_references(data):
    metrics = measured(data, INCEPTION, ("test", "train+test"))
    assert len(metrics) == 16
    given = Task("BtoA", *data[:1], prepared(data[1])).real("a")
    real = data[2].mean(axis=(1, 2)) / 255 + 1
    inputs = np.concatenate(list(given)).mean(axis=(1, 2)) / 255 + 1
    of_input = distances.kid(inputs, real).value
    assert metrics["kid_clean_test_of_input"] == pytest.approx(of_input)
    assert metrics["fid_clean_test"] == pytest.approx(0, abs=1e-9)
    assert metrics["fid_legacy_pytorch_test"] == pytest.approx(0, abs=1e-9)
    assert metrics["fid_clean_train+test"] > 1e-6
    with pytest.raises(UserError, match="fid_reference is 'train'; it can be test, "):
        measured(data, INCEPTION, ("train",))


def test_only_inceptions_distance_is_called_fid(data):
    metrics = measured(data, {"vgg16": Averages(EXTRACTORS["vgg16"])}, ("test",))
    assert set(metrics) == {
        "kid_vgg16_test",
        "kid_vgg16_test_of_input",
        "kid_standard_error_vgg16_test",
    }


def test_features_of_vgg(tmp_path):
    """The file's tensors, in the network that training compares features with."""
    small = vgg.VGG16(width=2)
    shapes = jax.eval_shape(small.init, jax.random.key(0), np.zeros((1, 224, 224, 3)))
    rng = np.random.default_rng(0)
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19)
    tensors = {}
    layers = shapes["params"].values()
    for number, layer in zip(numbers, layers, strict=True):
        shape = layer["kernel"].shape
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[:3]))
        weight = weight.transpose(3, 2, 0, 1).astype(np.float32)
        tensors[f"features.{number}.weight"] = weight
        tensors[f"features.{number}.bias"] = np.zeros(len(weight), np.float32)
    torch_files.write(tmp_path / "vgg16.pth", tensors)
    network = dataclasses.replace(PUBLISHED["vgg16"], module=small, features=16)
    extractor = dataclasses.replace(EXTRACTORS["vgg16"], network=network)
    network, note = extractor.load(str(tmp_path / "vgg16.pth"))
    assert "not the published file (397923af" in note
    images = rng.integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    actual = network([images[:2], images[2:]], "vgg16")
    assert actual.shape == (3, 16)
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(features.resize(images, 224, 128.0).transpose(0, 3, 1, 2))
    mean = torch.tensor((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1)
    x = ((x + 1) / 2 - mean) / torch.tensor((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1)
    for number in numbers:
        if number in (5, 10, 17):
            x = torch.nn.functional.max_pool2d(x, 2)
        weight = torch.from_numpy(tensors[f"features.{number}.weight"])
        x = torch.relu(torch.nn.functional.conv2d(x, weight, padding=1))
    np.testing.assert_allclose(actual, x.mean((2, 3)).numpy(), rtol=1e-4, atol=1e-5)


def test_real_images_are_seen_once(data):
    """Those of B are compared with in one direction, and translated in the other."""
    dataset, preprocess, real = data
    seen = []

    class Counted(Averages):
        def __call__(self, batches, convention):
            features = super().__call__(batches, convention)
            seen.append(len(features))
            return features

    networks = FeatureNetworks({"vgg16": Counted(EXTRACTORS["vgg16"])})
    evaluator = Evaluator(dataset, preprocess, networks, quiet=True)
    unchanged = types.SimpleNamespace(translate_float=lambda x: x, is_network=False)
    for direction in ("AtoB", "BtoA"):
        evaluator.evaluate({direction: unchanged}, direction)
    assert seen == [len(real)] * 4  # Real and translated, of both domains.


def test_notes(data):
    dataset, preprocess, _ = data

    def notes(networks, dataset=dataset, **options):
        return Evaluator(dataset, preprocess, networks, **options).notes

    (note,) = notes(FeatureNetworks(INCEPTION))
    assert "FID is biased upwards for so few images (4 and 4, fewer" in note
    note, _ = notes(FeatureNetworks(INCEPTION), references=("test", "train+test"))
    assert "4 translations to B with 12 real images, 4 to A with 12" in note
    missing = FeatureNetworks(notes=("FID is missing.",))
    assert notes(missing) == ["FID is missing."]
    plain = dataclasses.replace(dataset, test_class_maps=None)
    assert notes(FeatureNetworks(), plain) == []
    blank = np.full((64, 64), VOID, np.uint8)
    blank[:16] = 0
    unknown = dataclasses.replace(dataset, test_class_maps=[blank] * 4)
    (note,) = notes(FeatureNetworks(), unknown)
    assert note.startswith("75.00% of the pixels of the test label maps have colours")
