"""The pages of training and evaluation in a real browser: pictures, keys, mouse."""

import json

import numpy as np
import pytest

from cyclegan_jax import files
from cyclegan_jax.pages import report

COLOURS = {"light": "rgb(251, 251, 250)", "dark": "rgb(22, 22, 24)"}


def fits(page):
    """Whether nothing sticks out at the right."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def colour_of(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.fixture
def training(tmp_path):
    (tmp_path / "samples").mkdir()
    for step in (0, 500, 1000):
        pixels = np.full((8, 16, 3), step // 5, np.uint8)
        files.save_png(tmp_path / f"samples/step_{step:08d}.png", pixels)
    with (tmp_path / "metrics.jsonl").open("w") as file:
        file.write('{"step": 0, "test/AtoB/per_pixel": 0.1}\n')
        for step in range(50, 1001, 50):
            values = {"g_ab": 1 / step, "cycle_a": 9.0, "learning_rate": 2e-4}
            values |= {"d_a": float("nan") if step > 700 else 0.5, "speed": 1.0}
            file.write(json.dumps({"step": step, **values}) + "\n")
    summary = {"data": "<script>alert(1)</script>"}
    report.write_training_page(tmp_path, title="a <b>run</b>", summary=summary)
    return tmp_path / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_training(training, open_page, scheme):
    page = open_page(training, color_scheme=scheme)
    assert page.locator("h1").inner_text() == "a <b>run</b>"
    assert page.locator("dd").inner_text() == "<script>alert(1)</script>"
    shown = page.locator("#sample")
    assert shown.evaluate("image => image.naturalWidth") == 16
    page.keyboard.press("ArrowLeft")
    assert page.locator("#position").inner_text() == "step 500"
    assert shown.get_attribute("src") == "samples/step_00000500.png"
    page.locator("#previous").click()
    page.keyboard.press("ArrowLeft")  # Stays at the first one.
    assert page.locator("#position").inner_text() == "step 0"
    page.keyboard.press("Control+ArrowRight")  # Belongs to the browser.
    assert page.locator("#position").inner_text() == "step 0"
    for _ in range(3):
        page.locator("#next").click()
    assert page.locator("#position").inner_text() == "step 1000"
    page.locator("#smoothing").press("ArrowRight")  # Moves the slider alone.
    assert page.locator("#position").inner_text() == "step 1000"
    assert page.locator("#smoothing").input_value() == "0.61"
    assert page.locator("figure svg").count() == 6
    paths = page.locator("svg path").evaluate_all("all => all.map(p => p.outerHTML)")
    assert len(paths) == 12
    assert not any("NaN" in path for path in paths)
    page.locator("figure svg").first.hover()
    page.set_viewport_size({"width": 360, "height": 640})
    assert fits(page)
    assert "g_ab" in page.locator("figcaption span").first.inner_text()
    assert colour_of(page) == COLOURS[scheme]


def test_training_before_the_first_step(tmp_path, open_page):
    report.write_training_page(tmp_path, title="new", summary={})
    page = open_page(tmp_path / "index.html")
    assert page.locator("h1").inner_text() == "new"
    assert page.locator("figure, #sample").count() == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "test/AtoB/per_pixel": 0.1}\n')
    report.write_training_page(tmp_path, title="new", summary={})
    page = open_page(tmp_path / "index.html")
    path = page.locator("svg path").first.get_attribute("d")
    assert "NaN" not in path


@pytest.fixture
def evaluated(tmp_path):
    galleries = {"AtoB": [], "BtoA": []}
    for direction, entries in galleries.items():
        for index, stem in enumerate(("first", "<b>&", "50%", "a/b")):
            entries.append({"name": stem})
            for number, kind in enumerate(("input", "output", "cycle")):
                name = f"{direction}/{kind}/{stem}.png"
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                pixels = np.full((32, 32, 3), 60 * index + 20 * number, np.uint8)
                files.save_png(tmp_path / name, pixels)
                entries[-1][kind] = name
    result = {
        **{"method": "cyclegan", "data": "streets", "rounding": "nearest"},
        **{"images": {"A": 4, "B": 4}},
        **{"notes": ["FID is biased."], "warnings": ["AtoB: outputs look alike."]},
        **{"AtoB": {"cycle_l1": 0.1}, "BtoA": {"cycle_l1": 0.2}},
    }
    report.write_evaluation_page(
        tmp_path, title="run, step 5", result=result, galleries=galleries
    )
    return tmp_path / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_evaluation_by_keys(evaluated, open_page, scheme):
    page = open_page(evaluated, color_scheme=scheme)
    assert page.locator(".triple").count() == 8
    widths = page.locator(".triple img").evaluate_all(
        "all => Promise.all(all.map(async (i) => {"
        " i.loading = 'eager'; await i.decode(); return i.naturalWidth; }))"
    )
    assert widths == [32] * 24
    assert page.locator(".warning").inner_text() == "AtoB: outputs look alike."
    assert page.locator("figcaption").nth(1).inner_text() == "<b>&"
    large = page.locator("#large")
    assert not large.is_visible()
    page.keyboard.press("ArrowRight")
    assert large.is_visible()
    page.wait_for_function("document.getElementById('large').naturalWidth == 32")
    assert large.get_attribute("src") == "AtoB/output/first.png"
    page.keyboard.down(" ")
    assert large.get_attribute("src") == "AtoB/input/first.png"
    page.keyboard.down(" ")  # As a key that is held repeats itself.
    assert page.locator("#caption").inner_text() == "first (input)"
    page.keyboard.up(" ")
    assert large.get_attribute("src") == "AtoB/output/first.png"
    page.keyboard.press("ArrowLeft")  # Round to the last one.
    assert large.get_attribute("src") == "BtoA/output/a/b.png"
    page.keyboard.press("Alt+ArrowRight")  # Belongs to the browser.
    assert large.get_attribute("src") == "BtoA/output/a/b.png"
    page.keyboard.press("Escape")
    assert not large.is_visible()
    assert colour_of(page) == COLOURS[scheme]


def test_evaluation_by_mouse_on_a_phone(evaluated, open_page):
    page = open_page(evaluated, viewport={"width": 360, "height": 640})
    large = page.locator("#large")
    assert fits(page)
    page.locator(".triple").nth(2).click()
    page.wait_for_function("document.getElementById('large').naturalWidth == 32")
    assert large.get_attribute("src") == "AtoB/output/50%25.png"
    box = large.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    large.hover()
    page.mouse.down()
    assert page.locator("#caption").inner_text() == "50% (input)"
    page.mouse.move(5, 5)  # Off the picture, and released there.
    page.mouse.up()
    assert page.locator("#caption").inner_text() == "50% (output)"
    assert large.is_visible()
    page.locator("#next").click()
    assert page.locator("#caption").inner_text() == "a/b (output)"
    page.keyboard.press(" ")  # The button has the focus, but the picture is meant.
    assert page.locator("#caption").inner_text() == "a/b (output)"
    page.locator("#previous").click()
    assert page.locator("#caption").inner_text() == "50% (output)"
    page.locator("#close").click()
    assert not large.is_visible()


def test_history(tmp_path, open_page):
    lines = [
        {"step": step, "test/AtoB/cycle_l1": 1 / step, "test/BtoA/cycle_l1": 0.1}
        for step in (100, 200, 300)
    ]
    row = {"name": "AtoB/cycle_l1", "step": 300, "meaning": "less is better"}
    rows = [row | {"best": 1 / 300, "last": 1 / 300}]
    report.write_history_page(tmp_path, title="run", lines=lines, rows=rows)
    page = open_page(tmp_path / "index.html")
    assert page.locator("svg").count() == 1
    assert "AtoB" in page.locator("figcaption span").inner_text()
    link = page.locator("td a")
    assert (link.inner_text(), link.get_attribute("href")) == ("300", "300/index.html")
    page.set_viewport_size({"width": 360, "height": 640})
    assert fits(page)
