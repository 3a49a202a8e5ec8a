"""Runs in the browser: what is translated, the HTTP API, and the page in Chromium."""

import importlib.util
import io
import json
import pathlib
import socket
import sys
import urllib.request

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import streets
from cyclegan_jax.app import __main__ as command
from cyclegan_jax.app import interface, service
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation.translator import Translator
from tests.translating import make_run, picture

# Of Gradio and what it brings.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STEPS = [100, 250, 400]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of one checkpoint, and one of three, in which the networks differ."""
    path = tmp_path_factory.mktemp("runs")
    config = streets.get_config()
    config.data.update(streets_size=32, streets_test=2, crop_size=32)
    one = make_run(path / "a", config)
    weights = {name: tree["params"] for name, tree in Run.load(one).variables.items()}
    run_folder.create(path / "b/run", run_folder.read_config(one))
    with Checkpoints(path / "b/run/checkpoints") as checkpoints:
        for number, step in enumerate(STEPS):
            params = jax.tree.map(lambda x, n=number: jnp.asarray(x * 0.5**n), weights)
            state = {"params": params, "ema_params": {}, "norm_stats": {}}
            checkpoints.save(step, {"state": state}, {})
    return one, path / "b/run"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "my horse.png"
    Image.fromarray(picture(24, 40)).save(path)
    return str(path)


@pytest.mark.slow
def test_every_step_direction_and_size(runs, photo):
    served = service.Service(list(map(str, runs)))
    assert list(served.runs) == ["a/run", "b/run"]
    assert served.steps == {"a/run": [0], "b/run": STEPS}
    pixels = picture(24, 40)
    small = np.asarray(
        Image.fromarray(pixels).resize((20, 12), Image.Resampling.BICUBIC)
    )
    for step in (250, 100, 0):
        for direction in ("AtoB", "BtoA"):
            translator = Translator.load(runs[1], direction, step=step or 400)
            done = served.translate(photo, "b/run", direction, step=step)
            np.testing.assert_array_equal(done.before, pixels)
            np.testing.assert_array_equal(done.after, translator(pixels))
            assert f"step {step or 400}, 40x24 pixels" in done.note
    done = served.translate(photo, "b/run", longest_side=20)
    np.testing.assert_array_equal(done.before, small)
    expected = Translator.load(runs[1])(small)
    np.testing.assert_array_equal(done.after, expected)
    done = served.translate(photo, "b/run", size="resize")
    assert done.before.shape == done.after.shape == (32, 32, 3)
    expected = Translator.load(runs[1], size="resize")(pixels)
    np.testing.assert_array_equal(done.after, expected)
    tiled = served.translate(photo, "b/run", size="tile", tile_size=256).after
    whole = served.translate(photo, "b/run").after
    assert np.max(np.abs(tiled.astype(int) - whole)) <= 1


def test_mistakes_are_one_sentence_each(runs, photo, tmp_path, monkeypatch):
    served = service.Service([str(runs[1])])
    (tmp_path / "notes.png").write_text("no picture")
    for options, sentence in (
        ({"path": None}, "no picture"),
        ({"path": str(tmp_path / "notes.png")}, "^image notes.png cannot be decoded"),
        ({"name": "zebra"}, "no run 'zebra', only run"),
        ({"step": 7}, "no checkpoint of step 7, but of 100, 250, 400"),
        ({"direction": "up"}, "is not AtoB or BtoA"),
        ({"size": "huge"}, "size is 'huge'"),
        ({"size": "tile", "tile_size": 7}, "tile_size is 7"),
        ({"longest_side": -1}, "longest_side is -1"),
        ({"tile_size": None}, "tile_size is None"),
    ):
        with pytest.raises(UserError, match=sentence) as caught:
            served.translate(**{"path": photo, "name": "run"} | options)
        assert str(tmp_path) not in str(caught.value)
        assert str(runs[1]) not in str(caught.value)
    served.directions["run"] = ["AtoB"]
    with pytest.raises(UserError, match=r"^run has no generator BtoA, but AtoB\."):
        served.translate(photo, "run", "BtoA")
    monkeypatch.setattr(service, "MAX_PIXELS", 900)
    with pytest.raises(UserError, match=r"my horse\.png has 40x24 pixels"):
        served.translate(photo, "run")


def test_animations_give_their_first_frame(runs, tmp_path):
    first, second = (Image.fromarray(picture(8, 8, seed)) for seed in (0, 1))
    path = tmp_path / "film.png"
    first.save(path, save_all=True, append_images=[second])
    done = service.Service([str(runs[0])]).translate(str(path), "run")
    np.testing.assert_array_equal(done.before, picture(8, 8, 0))
    assert "the first of 2 frames" in done.note


def test_deep_pictures_are_noted(runs, tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.full((24, 40), 40_000, np.uint16)).save(path)
    served = service.Service([str(runs[0])])
    assert "more than 8 bits" in served.translate(str(path), "run").note


def test_all_runs_that_are_named_are_served():
    given = ["--workdir=a", "--workdir", "b", "c"]
    values = command.parser().parse_args(given)
    assert [*values.workdir, *values.files] == ["a", "b", "c"]


def test_without_gradio(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[app\]'"):
        command.main(command.parser().parse_args(["--workdir=x"]))


@pytest.fixture(scope="module")
def address(runs):
    """Where the app serves both runs, on a thread of this process."""
    contacted = set()

    def note(event, arguments):  # Such hooks cannot be removed.
        if event == "socket.getaddrinfo":
            contacted.add(arguments[0])
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            contacted.add(arguments[1][0])

    sys.addaudithook(note)
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("needs Gradio, the extra app")
    demo = interface.build(service.Service(list(map(str, runs))))
    yield interface.launch(demo, max_mb=1)
    demo.close()
    assert contacted <= {"127.0.0.1", b"127.0.0.1", "localhost", "::1", "0.0.0.0", None}


@pytest.fixture(scope="module")
def client(address):
    gradio_client = pytest.importorskip("gradio_client")
    return gradio_client.Client(address, verbose=False, analytics_enabled=False)


def test_the_api(client, runs, photo):
    from gradio_client import handle_file

    assert client.predict(api_name="/runs") == {
        "a/run": {"directions": ["AtoB", "BtoA"], "steps": [0]},
        "b/run": {"directions": ["AtoB", "BtoA"], "steps": STEPS},
    }
    names = client.view_api(return_format="dict")["named_endpoints"]
    assert set(names) == {"/translate", "/runs"}
    file, about = client.predict(
        picture=handle_file(photo),
        run="b/run",
        direction="BtoA",
        step=250,
        api_name="/translate",
    )
    expected = Translator.load(runs[1], "BtoA", step=250)(picture(24, 40))
    np.testing.assert_array_equal(np.asarray(Image.open(file)), expected)
    assert about.startswith("step 250, 40x24 pixels")


def test_mistakes_over_the_api(client, photo, tmp_path):
    from gradio_client import handle_file

    notes, large = tmp_path / "notes.txt", tmp_path / "large.png"
    notes.write_text("no picture")
    large.write_bytes(bytes(2**20 + 1))
    elsewhere = {
        "path": "http://127.0.0.1:1/x.png",
        "meta": {"_type": "gradio.FileData"},
    }
    for file, run, sentence in (
        (handle_file(photo), "zebra", "there is no run 'zebra'"),
        (handle_file(str(notes)), "a/run", "image notes.txt cannot be decoded"),
        (handle_file(str(large)), "a/run", "(?i)size"),
        (elsewhere, "a/run", "not named by its address"),
    ):
        with pytest.raises(Exception, match=sentence) as raised:
            client.predict(file, run, "AtoB", api_name="/translate")
        assert "Traceback" not in str(raised.value)


def test_curl(address, runs, photo):
    """The requests that docs/try_it.md makes with curl."""
    api, edge = f"{address}/gradio_api", b"--xxxxxxxxxxxx"
    about = b'Content-Disposition: form-data; name="files"; filename="h.png"'
    pixels = pathlib.Path(photo).read_bytes()
    body = b"\r\n".join([edge, about, b"", pixels, edge + b"--", b""])
    kind = f"multipart/form-data; boundary={edge.decode()[2:]}"
    (path,) = json.loads(get(f"{api}/upload", body, kind))
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    data = json.dumps({"data": [file, "a/run", "AtoB", "keep", 0, 512, 0]}).encode()
    call = json.loads(get(f"{api}/call/translate", data, "application/json"))
    text = get(f"{api}/call/translate/{call['event_id']}").decode()
    done = json.loads(text.partition("event: complete\ndata: ")[2].splitlines()[0])
    pixels = np.asarray(Image.open(io.BytesIO(get(done[0]["url"]))))
    np.testing.assert_array_equal(pixels, Translator.load(runs[0])(picture(24, 40)))


def get(url, body=None, kind=""):
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request) as response:
        return response.read()


def test_in_a_browser(address, browser, photo):
    page = browser.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    button = page.get_by_role("button", name="Translate")
    button.click()
    page.get_by_text("there is no picture; choose one first.").first.wait_for()
    page.locator("input[type=file]").first.set_input_files(photo)
    page.get_by_role("button", name="Remove Image").or_(
        page.locator("img[src*='my%20horse'], img[src*='my horse']")
    ).first.wait_for()
    button.click()
    page.get_by_text("step 0, 40x24 pixels").wait_for()
    page.get_by_text("step 400, 40x24 pixels").wait_for()
    assert page.get_by_test_id("imageslider-image").count() == 4
    step = page.get_by_label("range slider for step of the training")
    step.press("ArrowLeft")
    step.dispatch_event("pointerup")
    page.get_by_text("step 250, 40x24 pixels").wait_for()
    page.locator(".gallery-item").last.click()
    page.locator("input[value=BtoA]:checked").wait_for()  # An example of B was chosen.
    elsewhere = [u for u in requests if not u.startswith((address, "data:", "blob:"))]
    assert (elsewhere, errors) == ([], [])


def test_a_port_that_is_taken(runs):
    pytest.importorskip("gradio", reason="needs Gradio, the extra app")
    demo = interface.build(service.Service([str(runs[0])]))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="--host and --port"):
            interface.launch(demo, port=taken.getsockname()[1])
