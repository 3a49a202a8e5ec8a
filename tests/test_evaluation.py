"""Evaluation: numbers against formulas and against the pictures that were written."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from configs import folder, streets
from cyclegan_jax import evaluation, restore, run_folder, torch_files, torch_runs
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import pictures
from tests.oracle import cases

ROOT = pathlib.Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two small generators with PyTorch's weights, evaluated on streets."""
    path = tmp_path_factory.mktemp("runs")
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    files = {name: path / f"{name}.pth" for name in ("g_ab", "g_ba")}
    for file in files.values():
        torch_files.write(file, state)
    config = streets.get_config("smoke")
    torch_runs.import_weights(files, path / "run", config)
    return path / "run", evaluation.evaluate(path / "run")


def read(path):
    return np.asarray(Image.open(path), np.float64) / 255


def test_numbers_are_those_of_the_pictures(made):
    run, result = made
    folder_ = run / "evaluation" / "0"
    assert json.loads((folder_ / "metrics.json").read_text()) == result
    assert result["images"] == {"A": 4, "B": 4}
    for name in ("AtoB", "BtoA"):
        files = sorted((folder_ / name / "input").iterdir())
        assert len(files) == 4
        back = "BtoA" if name == "AtoB" else "AtoB"
        true = sorted((folder_ / back / "input").iterdir())
        differences = {"paired_l1": [], "cycle_l1": []}
        for file, other in zip(files, true, strict=True):
            output = read(folder_ / name / "output" / file.name)
            differences["paired_l1"].append(np.mean(np.abs(output - read(other))))
            cycle = read(folder_ / name / "cycle" / file.name)
            differences["cycle_l1"].append(np.mean(np.abs(cycle - read(file))))
        for metric, values in differences.items():
            np.testing.assert_allclose(result[name][metric], np.mean(values), rtol=1e-5)
    assert 0 < result["AtoB"]["class_iou"] < result["AtoB"]["per_pixel"] < 1
    assert result["AtoB"]["per_pixel_by_chance"] > 0.3  # Streets are alike.
    assert "per_pixel" not in result["BtoA"]


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


def looks(outputs, inputs, target):
    """The warnings for such outputs."""

    class Source(list):
        @property
        def names(self):
            return [f"{i}.png" for i in range(len(self))]

    side = evaluation.Direction("AtoB")
    small = [[pictures.thumbnails(x)] for x in (inputs, outputs)]
    evaluation._check_looks(side, Source(target), lambda image, name: image, *small)
    return side.warnings


def test_warnings_in_words():
    a, _ = pair(shape=(5, 32, 32, 3))
    b, _ = pair(seed=1, shape=(5, 32, 32, 3))
    assert looks(a, a, b) == []
    assert "light and dark look inverted" in looks(255 - a, a, b)[0]
    assert "outputs look alike" in looks(np.repeat(b[:1], 5, axis=0), a, b)[0]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "evaluate.py", "--inception=none", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_command(made):
    run, result = made
    done = command(f"--workdir={run}", "--step=all")
    assert done.returncode == 0, done.stderr
    assert "step 0" in done.stdout
    assert f"{result['AtoB']['cycle_l1']:.3f}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir=nowhere"], "nowhere holds no run"),
        ([], "--workdir is missing"),
        (["--step=5"], "has no checkpoint of step 5, but of 0"),
        (["--step=best"], "it can be a number, latest or all"),
        (["--data_path=/nowhere"], "/nowhere"),
    ],
)
def test_mistakes(made, arguments, message):
    run, _ = made
    if arguments and "workdir" not in arguments[0]:
        arguments = [f"--workdir={run}", *arguments]
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")


def test_one_generator_and_two_names(tmp_path):
    """A folder whose pictures differ only in their endings; and no way back."""
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    torch_files.write(tmp_path / "g.pth", state)
    rng = np.random.default_rng(0)
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in ("x.png", "x.bmp", "<b>&.png"):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / split / name)
    config = folder.get_config("smoke")
    torch_runs.import_weights({"g_ab": tmp_path / "g.pth"}, tmp_path / "run", config)
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
    assert restore.steps(copy) == [0]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_page_in_a_browser(made):
    api = pytest.importorskip("playwright.sync_api")
    run, _ = made
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        problems = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto((run / "evaluation/0/index.html").as_uri())
        assert page.locator(".triple").count() == 8
        large = page.locator("#large")
        assert not large.is_visible()
        page.keyboard.press("ArrowRight")
        assert large.is_visible()
        page.wait_for_function("document.getElementById('large').naturalWidth == 32")
        first = large.get_attribute("src")
        assert "/output/" in first
        page.keyboard.down(" ")
        assert large.get_attribute("src") == first.replace("/output/", "/input/")
        page.keyboard.up(" ")
        page.keyboard.press("ArrowLeft")
        assert large.get_attribute("src") != first
        page.keyboard.press("Escape")
        assert not large.is_visible()
        browser.close()
    assert problems == []
