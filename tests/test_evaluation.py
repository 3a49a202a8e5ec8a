"""Evaluation: metrics against formulas and against the images that were written."""

import dataclasses
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from configs import folder, streets
from cyclegan_jax import evaluation, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.evaluator import Evaluator
from cyclegan_jax.evaluation.feature_networks import FeatureNetworks
from cyclegan_jax.metrics import fcn, meanings, pictures
from cyclegan_jax.metrics.appearance import Appearance
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric
from cyclegan_jax.pages import charts
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.choosing import best_step, choose_step, list_steps
from cyclegan_jax.runs.experiment import Experiment, load_dataset
from cyclegan_jax.torch_weights.runs import import_weights
from tests.oracle import cases
from tests.oracle import lpips as oracle_lpips
from tests.translating import make_run

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two small generators with PyTorch's weights, evaluated on streets."""
    run = make_run(tmp_path_factory.mktemp("runs"), streets.get_config("smoke"))
    return run, evaluation.evaluate(run)


def read(path):
    return np.asarray(Image.open(path), np.float64) / 255


def test_metrics_are_those_of_the_images(made):
    run, result = made
    folder_ = run / "evaluation" / "0"
    assert json.loads((folder_ / "metrics.json").read_text()) == result
    assert result["images"] == {"A": 4, "B": 4}
    for name in ("AtoB", "BtoA"):
        files = sorted((folder_ / name / "input").iterdir())
        assert len(files) == 4
        back = "BtoA" if name == "AtoB" else "AtoB"
        true = sorted((folder_ / back / "input").iterdir())
        differences = {"paired_l1": [], "cycle_l1": [], "paired_l1_of_input": []}
        truths = [read(file) for file in true]
        chance = [np.mean(np.abs(x - y)) for x, y in itertools.pairwise(truths)]
        differences["paired_l1_by_chance"] = chance
        for file, other in zip(files, true, strict=True):
            output = read(folder_ / name / "output" / file.name)
            differences["paired_l1"].append(np.mean(np.abs(output - read(other))))
            unmodified = np.mean(np.abs(read(file) - read(other)))
            differences["paired_l1_of_input"].append(unmodified)
            cycle = read(folder_ / name / "cycle" / file.name)
            differences["cycle_l1"].append(np.mean(np.abs(cycle - read(file))))
        for metric, values in differences.items():
            np.testing.assert_allclose(result[name][metric], np.mean(values), rtol=1e-5)
    assert 0 < result["AtoB"]["class_iou"] < result["AtoB"]["per_pixel"] < 1
    assert result["AtoB"]["per_pixel_by_chance"] > 0.3  # Streets are alike.
    assert result["AtoB"]["per_pixel_of_real"] == 1  # Drawn in the palette's colours.
    assert result["AtoB"]["per_pixel_of_input"] < 0.5  # Photographs are no labels.
    assert not {"per_pixel", "fcn_per_pixel"} & set(result["BtoA"])


class Counted(list):
    """Images with names, each of which may be read `most` times."""

    def __init__(self, images, most):
        super().__init__(images)
        self.names = [f"{number}.png" for number in range(len(images))]
        self.left = [most] * len(images)

    def __getitem__(self, index):
        self.left[index] -= 1
        assert self.left[index] >= 0
        return super().__getitem__(index)


class Negative:
    """Translates by inverting, and notes the shapes of its batches."""

    is_network, channels_in, channels_out = True, 3, 3

    def __init__(self):
        self.shapes = []

    def translate_float(self, images):
        self.shapes.append(images.shape)
        return -images


@pytest.mark.parametrize(("cache_gib", "reads"), [(1.0, 1), (0.0, 5)])
def test_of_a_second_checkpoint_translations_alone_are_new(
    cache_gib, reads, monkeypatch
):
    config = streets.get_config("smoke")
    config.data.max_images = 11
    config.data.streets_test = 11
    experiment = Experiment.of(config)
    dataset = experiment.dataset()
    images = {
        f"test_{domain}": Counted([source[i] for i in range(11)], reads)
        for domain, source in (("a", dataset.test_a), ("b", dataset.test_b))
    }
    evaluator = Evaluator(
        dataclasses.replace(dataset, **images, test_class_maps=None),
        experiment.preprocess,
        FeatureNetworks(),
        cache_gib=cache_gib,
        quiet=True,
    )
    compared = []
    compare = pictures.compare
    monkeypatch.setattr(
        pictures, "compare", lambda *a, **k: (compared.append(0), compare(*a, **k))[1]
    )
    translators = {"AtoB": Negative(), "BtoA": Negative()}
    first = [evaluator.evaluate(translators, d) for d in ("AtoB", "BtoA")]
    assert len(compared) == 2 * 2 * (3 + 2)  # Two batches, with two baselines each.
    compared.clear()
    second = [evaluator.evaluate(translators, d) for d in ("AtoB", "BtoA")]
    assert first == second
    assert [list(x.metrics) for x in first] == [list(x.metrics) for x in second]
    assert len(compared) == 2 * 2 * 3
    # The last three images use the program that there is.
    assert {shape[0] for t in translators.values() for shape in t.shapes} == {8}
    metrics = first[0].metrics
    assert metrics["cycle_l1"] == 0
    a, b = (np.stack([*images[f"test_{d}"]]).astype(float) for d in "ab")
    assert metrics["paired_l1"] == pytest.approx(np.mean(np.abs(255 - a - b)) / 255)
    assert metrics["identity_l1"] == pytest.approx(np.mean(np.abs(255 - 2 * a)) / 255)


def test_masked_images_are_read_once_too():
    experiment = Experiment.of(streets.get_config("smoke"))
    dataset = experiment.dataset()
    splits = {f"test_{d}": getattr(dataset, f"test_{d}") for d in "ab"}
    images = {s: Counted([x[i] for i in range(4)], 1) for s, x in splits.items()}
    masks = Counted([np.ones((32, 32, 1), np.uint8)] * 4, 1)
    evaluator = Evaluator(
        dataclasses.replace(
            dataset, **images, test_class_maps=None, masks={"test_a": masks}
        ),
        experiment.preprocess,
        FeatureNetworks(),
        cache_gib=1.0,
        quiet=True,
    )
    translators = {"AtoB": Negative(), "BtoA": Negative()}
    a_to_b, b_to_a = (evaluator.evaluate(translators, d) for d in ("AtoB", "BtoA"))
    a, b = (np.stack([*images[s]]).astype(float) for s in splits)
    assert a_to_b.metrics["kept_l1"] == pytest.approx(
        np.mean(np.abs(255 - 2 * a)) / 255
    )
    paired = np.mean(np.abs(255 - a - b)) / 255
    assert b_to_a.metrics["paired_l1"] == pytest.approx(paired)


def test_batches_of_other_shapes_are_not_filled_up():
    config = streets.get_config("smoke")
    experiment = Experiment.of(config)
    sizes = [(32, 32)] * 3 + [(32, 40)] * 2 + [(32, 32)]
    images = Counted([np.zeros((*size, 3), np.uint8) for size in sizes], 1)
    dataset = experiment.dataset()
    dataset = dataclasses.replace(dataset, test_a=images, paired_test=False)
    dataset = dataclasses.replace(dataset, test_class_maps=None)
    config.data.preprocess = "none"
    preprocess = Experiment.of(config).preprocess
    evaluator = Evaluator(dataset, preprocess, FeatureNetworks(), quiet=True)
    translator = Negative()
    evaluator.evaluate({"AtoB": translator}, "AtoB")
    shapes = [(3, 32, 32, 3), (2, 32, 40, 3), (1, 32, 32, 3)]
    assert translator.shapes == shapes


def pair(seed=0, shape=(3, 24, 30, 3)):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, shape, dtype=np.uint8)
    noise = rng.integers(-30, 30, shape)
    return a, np.clip(a + noise, 0, 255).astype(np.uint8)


def test_l1_and_psnr():
    a, b = pair()
    x, y = a / 255, b / 255
    result = pictures.compare(a, b)
    axes = (1, 2, 3)
    np.testing.assert_allclose(result["l1"], np.abs(x - y).mean(axes), rtol=1e-5)
    psnr = 10 * np.log10(1 / ((x - y) ** 2).mean(axes))
    np.testing.assert_allclose(result["psnr"], psnr, rtol=1e-5)
    assert "ssim" not in result
    np.testing.assert_allclose(pictures.compare(a, a)["psnr"], 54.15, atol=0.01)


def test_ssim():
    """Wang et al. 2004 with SciPy's filters, where the window fits."""
    a, b = pair()

    def blur(values):
        blurred = scipy.ndimage.gaussian_filter(
            values, 1.5, truncate=3.34, mode="constant", axes=(1, 2)
        )
        return blurred[:, 5:-5, 5:-5]

    x, y = a / 255, b / 255
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    ssim = numerator / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    result = pictures.compare(a, b, ssim=True)["ssim"]
    np.testing.assert_allclose(result, ssim.mean((1, 2, 3)), atol=2e-4)
    small = a[:, :8, :8]
    assert "ssim" not in pictures.compare(small, small, ssim=True)


def test_negatives_and_copies_are_noticed():
    a, _ = pair(shape=(5, 32, 32, 3))
    small = pictures.thumbnails(a)
    assert small.shape == (5, 8, 8, 3)
    np.testing.assert_allclose(
        small[0, 0, 0], a[0, :4, :4].mean((0, 1)) / 255, atol=3e-3
    )
    assert pictures.luminance_correlation(small, small) == pytest.approx(1)
    negative = pictures.thumbnails(255 - a)
    assert pictures.luminance_correlation(small, negative) == pytest.approx(
        -1, abs=0.01
    )
    assert pictures.luminance_correlation(small, 0 * small) == 0
    assert pictures.diversity(np.repeat(small[:1], 5, axis=0)) < 1e-12
    assert pictures.diversity(small) == pytest.approx(np.std(small, axis=0).mean())


def warnings(outputs, inputs, target):
    """The warnings for such outputs."""
    task = Task("AtoB", types.SimpleNamespace(test_b=Images(target)), identity)
    measure = Appearance.create(task)
    measure.update(Batch([], inputs, outputs))
    return list(measure.warnings(measure.compute()))


def identity(pixels, name):
    return pixels


class Images(list):
    """A data set's images of one split."""

    names = property(lambda self: [str(index) for index in range(len(self))])


def test_warnings_in_words():
    a, _ = pair(shape=(5, 32, 32, 3))
    b, _ = pair(seed=1, shape=(5, 32, 32, 3))
    assert warnings(a, a, b) == []
    assert "outputs look like negatives" in warnings(255 - a, a, b)[0]
    assert "outputs look alike" in warnings(np.repeat(b[:1], 5, axis=0), a, b)[0]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "evaluate.py", "--inception=none", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_command_with_everything(made, tmp_path):
    """Random LPIPS weights and an untrained FCN: what matters is that they are used."""
    run, result = made
    tensors = oracle_lpips.tensors()
    torch_files.write(tmp_path / "lpips.pth", tensors)
    palette = load_dataset(run_folder.load_config(run)).palette
    blank = np.zeros((1, 32, 32, 3), np.float32)
    params = fcn.FCN(19).init(jax.random.key(0), blank)["params"]
    fcn.Segmenter(params, palette.names, 32).save(run / fcn.FILE_NAME)
    done = command(f"--workdir={run}", "--step=all", f"--lpips={tmp_path}/lpips.pth")
    (run / fcn.FILE_NAME).unlink()
    assert done.returncode == 0, done.stderr
    assert "step 0" in done.stdout
    assert f"{result['AtoB']['cycle_l1']:.3f}" in done.stdout
    metrics = json.loads((run / "evaluation/0/metrics.json").read_text())["BtoA"]
    assert {"fcn_per_pixel", "fcn_per_pixel_of_real", "fcn_class_iou_by_chance"} <= set(
        metrics
    )
    # The images have 32 pixels, too few for LPIPS' last layers.
    assert "paired_lpips" not in metrics
    page = (run / "evaluation/index.html").read_text()
    assert "AtoB/per_pixel" in page
    assert "Test: fcn class iou" in page


def test_best_step(made, tmp_path):
    """Out of what was measured in the training and after it."""
    run, _ = made
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for step in (5, 7):
        shutil.copytree(copy / "checkpoints/0", copy / f"checkpoints/{step}")
    lines = [{"step": 5, "test/AtoB/cycle_l1": 0.05}, {"step": 5, "cycle_a": 1.0}]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    with pytest.raises(UserError, match="AtoB/cycle_l1 of step 7 is not known"):
        best_step(copy, "AtoB/cycle_l1")
    (copy / "evaluation/7").mkdir()
    other = {"step": 7, "average": True, "data_path": "", "AtoB": {"cycle_l1": 0.01}}
    (copy / "evaluation/7/metrics.json").write_text(json.dumps(other))
    assert best_step(copy, "AtoB/cycle_l1") == 7
    (copy / "evaluation/7/metrics.json").write_text(json.dumps(other | {"average": 0}))
    with pytest.raises(UserError, match="of step 7 is not known"):
        best_step(copy, "AtoB/cycle_l1")
    (copy / "evaluation/7/metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json is damaged"):
        best_step(copy, "AtoB/cycle_l1")


def test_every_metric_is_described(made):
    _, result = made
    written = {*result["AtoB"], *result["BtoA"]}
    known = {metric.key: metric for metric in meanings.evaluated()}
    assert written <= set(known)
    assert len(known) == len(meanings.evaluated())  # No key twice.
    for metric in known.values():
        assert metric.meaning
        assert metric.unit != "value"
    assert known["fcn_per_pixel"].better is known["cycle_psnr"].better is max
    assert known["kid_clean_test"].better is known["paired_l1"].better is min
    for key in ("kid_standard_error_clean_test", "per_pixel_of_real", "diversity"):
        assert known[key].better is None
    text = known["kid_legacy_pytorch_train+test"].description
    assert "resized as legacy_pytorch, against the real train+test" in text
    assert text.endswith("lower is better")
    assert meanings.table() in (ROOT / "docs/metrics.md").read_text(), (
        "the table in docs/metrics.md has to be that of `meanings.table()`"
    )


class Saturation(Measure):
    """A metric of somebody's own: how colourful the translations are."""

    METRIC = Metric("saturation", "level", "mean range of the channels", max)
    metrics = (METRIC,)

    def __init__(self):
        self.reset()

    @classmethod
    def create(cls, task):
        return cls()

    def reset(self):
        self._ranges = []

    def update(self, batch):
        self._ranges.append(np.ptp(batch.fake, axis=-1).mean())

    def compute(self):
        return {self.METRIC: float(np.mean(self._ranges))}


def test_a_metric_of_ones_own(made, tmp_path, monkeypatch):
    """A class, and a line in `meanings.MEASURES`: all else follows from these."""
    run, _ = made
    monkeypatch.setattr(meanings, "MEASURES", (*meanings.MEASURES, Saturation))
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (result,) = evaluation.evaluate_all(copy)
    images = [read(p) for p in (copy / "evaluation/0/AtoB/output").iterdir()]
    expected = 255 * np.mean([np.ptp(image, axis=-1).mean() for image in images])
    assert result["AtoB"]["saturation"] == pytest.approx(expected, rel=1e-5)
    for page in ("index.html", "0/index.html"):
        text = (copy / "evaluation" / page).read_text()
        assert "mean range of the channels; higher is better" in text
    (chart,) = charts.charts([{"step": 1, "test/AtoB/saturation": 2.0}])
    assert (chart["title"], chart["unit"]) == ("Test: saturation", "level")
    assert meanings.check_metric("best_metric", "AtoB/saturation") is max
    assert "| `saturation` | mean range of the channels | higher |" in meanings.table()
    monkeypatch.undo()
    with pytest.raises(UserError, match="best_metric"):
        meanings.check_metric("best_metric", "AtoB/saturation")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=nowhere"], "nowhere holds no run"),
        ([], "missing: --workdir"),
        (["--workdir={run}", "--step=first"], "can be a number, latest, best or all"),
        (["--workdir={run}", "--lpips=nowhere.pth"], "nowhere.pth"),
    ],
)
def test_mistakes(made, arguments, message):
    run, _ = made
    done = command(*(argument.format(run=run) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("step", "metric", "message"),
    [
        ("5", "", "has no checkpoint of step 5, but of 0"),
        ("latest", "AtoB/per_pixel", "--metric goes with --step=best"),
        ("best", "AtoB/diversity", "metric is 'AtoB/diversity'; it"),
        ("best", "BtoA/fid_clean_test", "--step=all measures all"),
    ],
)
def test_steps_that_there_are_not(made, step, metric, message):
    with pytest.raises(UserError, match=message):
        choose_step(made[0], step, metric)


@pytest.mark.parametrize(
    ("networks", "options", "message"),
    [
        ({"fcn": "nowhere"}, {}, "nowhere cannot be read"),
        ({}, {"data_path": "/nowhere"}, "/nowhere"),
        ({}, {"references": ["train"]}, "fid_reference is 'train'"),
    ],
)
def test_weights_and_data_that_there_are_not(made, networks, options, message):
    with pytest.raises(UserError, match=message):
        evaluation.open_evaluator(made[0], networks, **options)


def test_one_generator_and_two_names(tmp_path):
    """A folder whose images differ only in their suffixes; and one generator."""
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    torch_files.write(tmp_path / "g.pth", state)
    rng = np.random.default_rng(0)
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in ("x.png", "x.bmp", "<b>&.png"):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / split / name)
    config = folder.get_config("smoke")
    import_weights({"g_ab": tmp_path / "g.pth"}, tmp_path / "run", config)
    result = evaluation.evaluate(tmp_path / "run", data_path=str(tmp_path / "set"))
    assert "BtoA" not in result
    assert set(result["AtoB"]) == {"luminance_correlation", "diversity"}
    outputs = tmp_path / "run/evaluation/0/AtoB/output"
    assert len(list(outputs.iterdir())) == 3
    page = (tmp_path / "run/evaluation/0/index.html").read_text()
    assert "<b>" not in page
    assert "%3Cb%3E%26.png" in page


def test_no_test_images(made, tmp_path):
    run, _ = made
    for split in ("trainA", "trainB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "set" / split / "1.png")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = run_folder.read_config(copy)
    config["data"] |= {"dataset": "folder", "path": str(tmp_path / "set")}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has no test images"):
        evaluation.evaluate(copy)
    assert list_steps(copy) == [0]
