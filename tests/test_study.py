"""A perceptual study from the run to the scores, answered in a real browser."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from configs import folder, streets
from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.run import Run
from cyclegan_jax.study import making as study_making
from cyclegan_jax.study import scoring as study_scoring
from cyclegan_jax.study.protocol import FAKE, REAL, SPOILT, Protocol
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.translation.translator import Translator
from tests import slow_but
from tests.oracle import cases
from tests.translating import make_run

PROTOCOL = Protocol(
    **{"trials": 30, "practice": 2, "attention": 3, "max_pairs": 32, "sessions": 4},
    **{"show_ms": 20, "pause_ms": 0},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two small generators with PyTorch's weights, on 40 streets."""
    config = streets.get_config("smoke")
    config.data.streets_test, config.data.max_images = 40, 0
    return make_run(tmp_path_factory.mktemp("runs"), config)


@pytest.fixture(scope="module")
def study(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("studies") / "study"
    return study_making.make([run], output, PROTOCOL)


def test_pictures_are_what_the_key_says(run, study):
    page, key_path = study
    key = study_scoring.read_key(key_path)
    assert key_path.parent == page.parent.parent
    assert sorted(p.name for p in page.parent.iterdir()) == ["index.html", "pictures"]
    files = {path.stem: path for path in (page.parent / "pictures").iterdir()}
    assert files.keys() == key["pictures"].keys()
    assert all(re.fullmatch("[0-9a-f]{12}", name) for name in files)
    opened = Run.load(run)
    dataset, transform = study_making.load_data(opened, "")
    translator = Translator(opened, "AtoB")
    a, b = dataset.test_a, dataset.test_b
    kinds, pairs = [], {}
    for session in key["sessions"]:
        for left, right in session["scored"] + session["practice"]:
            pairs[tuple(sorted((left, right)))] = left, right
    for left, right in pairs.values():
        pair = {key["pictures"][n]["kind"]: n for n in (left, right)}
        real = pair.pop(REAL)
        ((kind, fake),) = pair.items()
        # Streets have true pairs.
        at = b.names.index(key["pictures"][real]["source"])
        assert key["pictures"][fake]["source"] == a.names[at]
        pixels = [np.asarray(Image.open(files[name])) for name in (real, fake)]
        np.testing.assert_array_equal(pixels[0], transform(b[at], b.names[at]))
        expected = translator(transform(a[at], a.names[at]))
        assert np.array_equal(pixels[1], expected) == (kind == FAKE)
        kinds.append(kind)
    assert kinds.count(SPOILT) == 3
    text = page.read_text()
    assert not re.search("real_|fake|spoilt|street|testA|runs", text)


def test_every_method_gets_the_same_pictures(run, tmp_path):
    protocol = Protocol(trials=3, practice=1, attention=1, max_pairs=4, sessions=2)
    output = tmp_path / "both"
    _, path = study_making.make([run, run], output, protocol, direction="BtoA")
    key = study_scoring.read_key(path)
    assert [session["method"] for session in key["sessions"]] == [0, 1, 0, 1]
    sources = [entry["source"] for entry in key["pictures"].values()]
    assert sources[:12] == sources[12:]
    assert len(set(sources)) == 12  # Nothing is shown twice.
    with pytest.raises(UserError, match="both is not empty"):
        study_making.make([run], output, protocol)
    (output / "index.html").unlink()
    (output / "pictures").rename(tmp_path / "pictures")
    with pytest.raises(UserError, match="is the key of another study"):
        study_making.make([run], output, protocol)
    with pytest.raises(UserError, match="there are 40 test pictures, too few"):
        study_making.make([run], tmp_path / "new", Protocol())
    with pytest.raises(UserError, match="no checkpoint of step 5"):
        study_making.make([run], tmp_path / "new", protocol, step="5")
    with pytest.raises(UserError, match="direction 'BtoC'"):
        study_making.make([run], tmp_path / "new", protocol, direction="BtoC")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("both", "both-key.json", "pictures")
    ]


def test_other_test_pictures(run, tmp_path):
    """A run on a folder, whose pictures are not pairs."""
    rng = np.random.default_rng(0)
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            name = f"{split[-1]}{number}.png"
            Image.fromarray(pixels).save(tmp_path / "set" / split / name)
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    torch_files.write(tmp_path / "g.pth", state)
    config = folder.get_config("smoke")
    config.data.path = str(tmp_path / "set")
    other = tmp_path / "other"
    import_weights({"g_ab": tmp_path / "g.pth"}, other, config)
    protocol = Protocol(trials=2, practice=1, attention=1, sessions=1)
    _, path = study_making.make([other], tmp_path / "study", protocol)
    sources = [e["source"] for e in study_scoring.read_key(path)["pictures"].values()]
    assert sorted(sources[::2]) == [f"testB/B{n}.png" for n in range(4)]
    assert sorted(sources[1::2]) == [f"testA/A{n}.png" for n in range(4)]
    with pytest.raises(UserError, match="other has other test pictures than"):
        study_making.make([run, other], tmp_path / "two", protocol)


def test_cut_and_spoil():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    high = rng.integers(0, 256, (20, 17, 3), dtype=np.uint8)
    one, other = study_making.cut(wide, high)
    np.testing.assert_array_equal(one, wide[:, 3:20])
    np.testing.assert_array_equal(other, high[2:18])
    spoilt = study_making.spoil(np.full((16, 24, 1), 7, np.uint8), rng)
    board = np.indices((8, 12)).sum(axis=0).repeat(2, 0).repeat(2, 1) % 2
    np.testing.assert_array_equal(spoilt[..., 0], np.where(board, 248, 7))
    unlike = study_making.spoil(wide, rng)
    tiles = unlike.reshape(8, 2, 12, 2, 3)
    assert np.mean(tiles != wide.reshape(8, 2, 12, 2, 3)) > 0.9


def take_part(page, choose):
    """Answers all trials by keys; `choose` maps [left, right] to a side."""
    page.wait_for_selector("#go:enabled")
    page.keyboard.press("Enter")
    data = json.loads(page.locator("#data").inner_text())
    participant = int(page.locator("#participant").inner_text())
    session = data["sessions"][participant % len(data["sessions"])]
    feedback = []
    for kind in ("practice", "scored"):
        for pair in session[kind]:
            page.wait_for_selector("#left:enabled")
            assert page.locator("#pair img").first.is_hidden()
            side = choose(pair)
            page.keyboard.press({"left": "ArrowLeft", "right": "ArrowRight"}[side])
            if kind == "practice":
                page.wait_for_selector("#go:enabled")
                feedback.append(page.locator("#message").inner_text())
                page.keyboard.press("Enter")
        if kind == "practice":
            page.wait_for_function("document.getElementById('go').textContent=='Go on'")
            page.keyboard.press("Enter")
    page.wait_for_selector("#save:visible")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert page.locator("#answers").input_value()
    return download.value, feedback


@pytest.mark.slow
def test_answers_in_a_browser(study, open_page, tmp_path):
    path, key_path = study
    key = study_scoring.read_key(key_path)
    rng = np.random.default_rng(3)

    def by_chance(pair):
        return str(rng.choice(["left", "right"]))

    def right(pair):
        kinds = [key["pictures"][name]["kind"] for name in pair]
        return ("left", "right")[kinds.index(REAL)]

    def wrong(pair):
        return {"left": "right", "right": "left"}[right(pair)]

    def is_attention(pair):
        return any(key["pictures"][name]["kind"] == SPOILT for name in pair)

    people = {
        "guesses": lambda pair: right(pair) if is_attention(pair) else by_chance(pair),
        "errs": lambda pair: right(pair) if is_attention(pair) else wrong(pair),
        "knows": right,
        "sleeps": lambda pair: wrong(pair) if is_attention(pair) else right(pair),
    }
    files = {}
    for number, (name, choose) in enumerate(people.items(), 8):
        page = open_page(path, f"?participant={number}")
        download, feedback = take_part(page, choose)
        assert download.suggested_filename == f"study_{key['study']}_{number}.json"
        files[name] = tmp_path / f"{name}.json"
        download.save_as(files[name])
        page.close()
        saved = json.loads(files[name].read_text())
        session = key["sessions"][number % 4]
        asked = [[trial["left"], trial["right"]] for trial in saved["practice"]]
        assert asked == session["practice"]
        were_right = [
            trial["chosen"] == right(pair)
            for trial, pair in zip(saved["practice"], asked, strict=True)
        ]
        said = ["No, it was the other one.", "Correct."]
        assert feedback == [said[was_right] for was_right in were_right]
        assert min(trial["shown_ms"] for trial in saved["trials"]) >= 20 - 4

    def percent(name):
        return study_scoring.score([files[name]], key)["methods"][0]["labelled_real"]

    assert percent("errs") == 100
    assert percent("knows") == 0
    # 30 throws of a coin: four deviations.
    assert abs(percent("guesses") - 50) < 4 * 100 * np.sqrt(0.25 / 30)
    result = study_scoring.score(list(files.values()), key)
    assert [one["participant"] for one in result["participants"]] == [8, 9, 10]
    reason = "failed 3 attention trials (0 allowed: --allowed_failures)"
    assert result["dropped"] == [{"file": str(files["sleeps"]), "reason": reason}]


def test_the_mouse_and_a_phone(study, open_page):
    page = open_page(study[0], viewport={"width": 360, "height": 640})
    page.wait_for_selector("#go:enabled")
    number = int(page.locator("#participant").inner_text())
    assert 0 <= number < 1e9
    page.locator("#go").click()
    page.wait_for_selector("#left:enabled")
    left, right = (
        page.locator(f"#{side}").bounding_box() for side in ("left", "right")
    )
    assert left["x"] >= 0
    assert right["x"] + right["width"] <= 360
    assert left["y"] == right["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#right").click()
    page.wait_for_selector("#go:enabled")
    assert page.locator("#left").is_disabled()


def test_a_second_is_a_second(run, tmp_path, open_page):
    """Measured from outside, from one change of the page to the next."""
    protocol = Protocol(
        **{"trials": 1, "practice": 0, "attention": 0, "sessions": 1, "pause_ms": 50}
    )
    path, _ = study_making.make([run], tmp_path / "study", protocol)
    page = open_page(path)
    page.evaluate("""() => {
      window.times = [];
      const pair = document.getElementById("pair");
      new MutationObserver(() => times.push([pair.className, performance.now()]))
        .observe(pair, { attributes: true, attributeFilter: ["class"] });
    }""")
    page.wait_for_selector("#go:enabled")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair.shown")
    page.keyboard.press("ArrowLeft")  # Too early: it is no answer.
    assert page.locator("#pair img").first.is_visible()
    page.wait_for_selector("#left:enabled")
    (shown, start), (hidden, end) = page.evaluate("times")
    assert (shown, hidden) == ("shown", "")
    assert 950 < end - start < 2000  # A busy machine may miss frames.
    assert page.locator("#end").is_hidden()


@pytest.mark.parametrize("number", slow_but(["-1", "me"], ["", "-1", "1.5", "me"]))
def test_an_odd_participant(study, open_page, number):
    page = open_page(study[0], f"?participant={number}")
    assert "must be a whole number" in page.locator("#problem").inner_text()
    assert not page.locator("#go").is_visible()
