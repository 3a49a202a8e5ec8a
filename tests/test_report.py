"""The page of a run: what is on it."""

import json
import re

import numpy as np
import pytest

from cyclegan_jax import files, images
from cyclegan_jax.metrics import published
from cyclegan_jax.pages import charts, report


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    for step in (0, 500, 1000):
        pixels = np.full((8, 16, 3), step // 5, np.uint8)
        files.save_png(folder / f"samples/step_{step:08d}.png", pixels)
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(50, 1001, 50):
            values = {"g_ab": 1 / step, "cycle_a": 9.0, "learning_rate": 2e-4}
            file.write(json.dumps({"step": step, **values, "speed": 1.0}) + "\n")
        file.write('{"step": 1000, "test/AtoB/per_pixel": 0.9}\n{"step": 1050, "g_')
    summary = {"data": "<script>alert(1)</script>"}
    report.write_training_page(folder, title="a <b>run</b>", summary=summary)
    return folder


def page_data(workdir):
    page = (workdir / "index.html").read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_charts(workdir):
    found = {chart["title"]: chart for chart in page_data(workdir)["charts"]}
    assert list(found) == [
        "Adversarial, generators",
        "Cycle",
        "Learning rate",
        "Other",
        "Test: per pixel",
    ]
    curve = found["Adversarial, generators"]["curves"]["g_ab"]
    assert [step for step, _ in curve] == list(range(50, 1001, 50))
    assert found["Test: per pixel"]["curves"] == {"AtoB": [[1000.0, 0.9]]}


def test_a_baseline_is_drawn_with_its_score():
    lines = [{"step": 1, "test/BtoA/fcn_per_class": 0.2}]
    lines += [{"step": 1, "test/BtoA/fcn_per_class_of_real": 0.8, "unheard_of": 3.0}]
    other, chart = charts.charts(lines)
    assert (other["title"], other["curves"]) == ("Other", {"unheard_of": [[1, 3]]})
    assert (chart["title"], chart["unit"]) == ("Test: fcn per class", "score")
    assert chart["curves"] == {"BtoA": [[1, 0.2]], "BtoA of real": [[1, 0.8]]}


def test_numbers_that_are_none_are_left_out():
    lines = [{"step": 1, "g_ab": 2.0}, {"step": 2, "g_ab": float("nan")}]
    (chart,) = charts.charts(lines)
    assert chart["curves"] == {"g_ab": [[1, 2]]}


def test_names_are_escaped(workdir):
    page = (workdir / "index.html").read_text()
    assert "<script>alert" not in page
    assert "a <b>run" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_nothing_is_loaded_from_elsewhere(workdir):
    page = (workdir / "index.html").read_text()
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == [
        "data:,",
        "samples/step_00001000.png",
    ]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", page)


def test_published_values_are_of_the_method():
    """Table 3: CycleGAN's 0.58 is not pix2pix's."""
    key = ("cityscapes", "AtoB", "per_pixel")
    for method, value in {"cyclegan": 0.58, "pix2pix": 0.85, "simgan": 0.47}.items():
        known = published.VALUES[method]
        (row,) = report.metric_rows(known, "cityscapes", "AtoB", {"per_pixel": 0.5})
        assert row["published"].startswith(f"{value} (Zhu et al. 2017, table 3;")
        assert known[key][0] == value
    (row,) = report.metric_rows(
        published.VALUES["cyclegan"], "x", "AtoB", {"per_pixel": 1}
    )
    assert row["published"] == ""


def test_long_curves_are_thinned_to_means():
    steps = np.arange(100_000)
    values = np.random.default_rng(0).random(100_000)
    thinned = np.array(charts.thin(list(zip(steps, values, strict=True))))
    assert len(thinned) == charts.MAX_POINTS
    size = 100_000 // charts.MAX_POINTS
    expected = values.reshape(-1, size).mean(axis=1)
    np.testing.assert_allclose(thinned[:, 1], expected, rtol=1e-5)
    assert charts.thin([(1, 2.0)]) == [[1.0, 2.0]]


def test_run_without_anything_yet(tmp_path):
    report.write_training_page(tmp_path, title="new", summary={})
    assert page_data(tmp_path) == {"charts": [], "samples": []}


def test_sample_grid():
    colour = np.full((2, 64, 64, 3), 200, np.uint8)
    grey = np.zeros((1, 64, 64, 1), np.uint8)
    sheet = images.sample_grid({"real A": colour, "A to B": grey})
    assert sheet.shape == (28 + 2 * 132, 4 + 2 * 132, 3)
    assert np.all(sheet[28:156, 4:132] == 200)
    assert np.all(sheet[28:156, 136:264] == 0)
    assert np.all(sheet[160:288, 136:264] == sheet[0, 0])  # An empty cell.
    assert sheet[:28].min() < 100  # The titles.
