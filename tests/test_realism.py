"""FID and KID: closed forms, the published formulas, and the network in PyTorch."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

from configs import streets
from cyclegan_jax.data import test_transform as prepared
from cyclegan_jax.data.palettes import VOID
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation import Judges, TestSplit
from cyclegan_jax.evaluation.realism import Realism
from cyclegan_jax.metrics import distances, features, inception
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.torch_files.download import file_sha256
from tests.oracle import inception as oracle

GOLDEN = pathlib.Path(__file__).parent / "golden_inception.npz"


def their_shapes():
    """PyTorch's names and shapes of all tensors that the features need."""
    blank = jax.ShapeDtypeStruct((1, 299, 299, 3), np.float32)
    abstract = jax.eval_shape(inception.Inception().init, jax.random.key(0), blank)
    names = {ours: theirs for theirs, ours in inception._LEAVES.items()}
    shapes = {}
    for (layer, leaf), x in traverse_util.flatten_dict(abstract["params"]).items():
        shape = tuple(x.shape[i] for i in (3, 2, 0, 1)) if x.ndim == 4 else x.shape
        shapes[f"{layer}.{names[leaf]}"] = shape
    return shapes


@pytest.fixture(scope="module")
def tensors():
    return oracle.weights(their_shapes())


@pytest.mark.parametrize("source", ["golden", "live"])
def test_features_are_pytorchs(tensors, source):
    if source == "live":
        pytest.importorskip("torch")
        expected = oracle.features(tensors, oracle.pictures())
    else:
        expected = np.load(GOLDEN)["features"]
    variables = inception.from_torch(tensors, "weights")
    actual = jax.jit(inception.Inception().apply)(variables, oracle.pictures())
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * scale)


def test_weights_that_are_something_else(tensors):
    some = dict(tensors)
    assert len(some) == 94 * 5  # The file has also 94 counters, and a classifier.
    shape = some["Mixed_7c.branch_pool.conv.weight"].shape
    wrong = {"Mixed_7c.branch_pool.conv.weight": np.zeros(shape[::-1], "f4")}
    classifier = some | {"fc.bias": np.zeros(1000, "f4")}
    with pytest.raises(UserError, match="classifier of 1000 classes, such as torchvis"):
        inception.from_torch(classifier, "x.pth")
    with pytest.raises(UserError, match=r"'Mixed_7c\.branch_pool\.conv\.weight'.*fit"):
        inception.from_torch(some | wrong, "x.pth")
    del some["Conv2d_1a_3x3.bn.bias"]
    with pytest.raises(UserError, match=r"x\.pth lacks the tensor 'Conv2d_1a"):
        inception.from_torch(some, "x.pth")


def test_weights_from_elsewhere_are_named(tensors, tmp_path, monkeypatch):
    np.savez(tmp_path / "weights.npz", **tensors)
    load = functools.partial(
        Judges.load,
        workdir=tmp_path,
        palette=None,
        inception=str(tmp_path / "weights.npz"),
    )
    (note,) = load().notes
    assert "not the file that papers use (6726825d0af5f729" in note
    digest = file_sha256(tmp_path / "weights.npz")
    monkeypatch.setattr(features, "SHA256", digest)
    assert load().notes == ()


def test_weights_as_npz(tensors, tmp_path):
    np.savez(tmp_path / "weights.npz", **tensors)
    jax.tree.map(
        np.testing.assert_array_equal,
        features.load_weights(tmp_path / "weights.npz"),
        inception.from_torch(tensors, "test"),
    )
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickled.npz", **{"Conv2d_1a_3x3.conv.weight": pickled})
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("pickled.npz", "text.npz", "none.npz"):
        with pytest.raises(UserError, match=f"{name} cannot be read as .npz"):
            features.load_weights(tmp_path / name)


def test_checksum_of_the_release(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "cyclegan_jax").mkdir()
    name = features.URL.removeprefix("https://").replace("/", "_")
    (tmp_path / "cyclegan_jax" / name).write_bytes(b"something else")
    with pytest.raises(UserError, match=f"not {features.SHA256}; delete it"):
        features.load_weights()
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
    clean = features.resize(photo, "clean")
    assert clean.shape == (2, 299, 299, 3)
    plane = Image.fromarray(photo[1, ..., 2].astype(np.float32))
    plane = np.asarray(plane.resize((299, 299), Image.BICUBIC)).clip(0, 255)
    np.testing.assert_allclose(clean[1, ..., 2], (plane - 128) / 128, atol=1e-6)
    gray = features.resize(photo[..., :1], "clean")
    np.testing.assert_array_equal(gray[..., 0], clean[..., 0])
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    same = rng.integers(0, 256, (1, 299, 299, 3), dtype=np.uint8)
    legacy = features.resize(same, "legacy_pytorch")
    np.testing.assert_allclose(legacy, same / 127.5 - 1, atol=1e-5)
    with pytest.raises(ValueError, match="nearest"):
        features.resize(photo, "nearest")


@pytest.mark.parametrize("shape", [(40, 60), (500, 420)])
def test_legacy_resizing_is_pytorchs(shape):
    torch = pytest.importorskip("torch")
    photo = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    planes = torch.from_numpy(photo.transpose(0, 3, 1, 2)).float() / 255
    expected = torch.nn.functional.interpolate(
        planes, size=(299, 299), mode="bilinear", align_corners=False
    )
    expected = 2 * expected.numpy().transpose(0, 2, 3, 1) - 1
    actual = features.resize(photo, "legacy_pytorch")
    np.testing.assert_allclose(actual, expected, atol=2e-5)


class Averages:
    """Stands in for the network: mean colours as features."""

    def __call__(self, batches, convention):
        means = [batch.mean(axis=(1, 2)) / 255 for batch in batches]
        return np.concatenate(means) + (convention == "clean")


def test_conventions_and_references():
    config = streets.get_config("smoke")
    experiment = Experiment.of(config)
    dataset = experiment.dataset()
    transform = prepared(experiment.preprocess)
    real = [transform(dataset.test_b[i], "") for i in range(4)]
    realism = Realism(Averages(), references=("test", "train+test"))
    metrics = realism.measure([np.stack(real)], dataset, transform, "b")
    assert len(metrics) == 12
    assert metrics["fid_clean_test"] == pytest.approx(0, abs=1e-9)
    assert metrics["fid_legacy_pytorch_test"] == pytest.approx(0, abs=1e-9)
    assert metrics["fid_clean_train+test"] > 1e-6
    with pytest.raises(UserError, match="'train' is not one of test, train"):
        Realism(Averages(), references=("train",))


def test_notes():
    config = streets.get_config("smoke")
    experiment = Experiment.of(config)
    dataset, preprocess = experiment.dataset(), experiment.preprocess
    judges = Judges(realism=Realism(Averages()))
    note = TestSplit(dataset, preprocess, judges).notes[0]
    assert "FID is biased upwards for so few pictures (4 and 4, fewer" in note
    both = Judges(realism=Realism(Averages(), references=("test", "train+test")))
    note = TestSplit(dataset, preprocess, both).notes[0]
    assert "4 translations to B with 12 real pictures, 4 to A with 12" in note
    judges = Judges(notes=("FID is missing.",))
    assert TestSplit(dataset, preprocess, judges).notes == ["FID is missing."]
    few = dataclasses.replace(dataset, test_class_maps=None)
    blank = np.full((64, 64), VOID, np.uint8)
    blank[:16] = 0
    unknown = dataclasses.replace(dataset, test_class_maps=[blank] * 4)
    assert TestSplit(few, preprocess, Judges()).notes == []
    note = TestSplit(unknown, preprocess, Judges()).notes[0]
    assert note.startswith("75.00% of the pixels of the test label maps have colours")
