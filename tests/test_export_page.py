"""The page that translates in the browser, in Chromium, against `Translator`."""

import base64
import contextlib
import functools
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image

from configs import folder
from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.export import __main__ as command
from cyclegan_jax.export import page as export_page
from cyclegan_jax.export import runtime_web
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.translation.translator import Translator
from tests.oracle import cases
from tests.translating import picture

pytest.importorskip("onnx", reason="needs onnx")

LEVELS = 1  # Of 255: another implementation in float32, rounded.
RUNS = {  # Name: whose weights it has, and the directions.
    "colour": ("resnet_instance", ["AtoB", "BtoA"]),
    "grey": ("resnet_gray", ["BtoA"]),
    "unet": ("unet_batch_wide", ["AtoB"]),
}


@pytest.fixture(scope="module")
def runtime():
    """Where ONNX Runtime Web is, fetched by npm once."""
    try:
        runtime_web.load()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(tmp_path_factory, runtime):
    """The address of a static host, with the pages in folders of a folder; the runs."""
    config = folder.get_config()
    config.data.crop_size = 64
    path, runs = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("runs")
    for name, (case, directions) in RUNS.items():
        state = cases.subtree(cases.load_case(case), "state")
        if name == "grey":  # The case has two channels out.
            state = {key: v[:1] if len(v) == 2 else v for key, v in state.items()}
        files = {}
        for direction in directions:
            network = {"AtoB": "g_ab", "BtoA": "g_ba"}[direction]
            files[network] = runs / f"{name}_{network}.pth"
            torch_files.write(files[network], state)
            state = {key: -value for key, value in state.items()}  # Another network.
        import_weights(files, runs / name, config)
        export_page.write_page(runs / name, path / "sub/path" / name)
    with served(path) as address:
        yield f"{address}/sub/path", runs


@contextlib.contextmanager
def served(path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def copyfile(self, source, outputfile):  # Stop ends a download.
            with contextlib.suppress(ConnectionError):
                super().copyfile(source, outputfile)

    handler = functools.partial(Quiet, directory=str(path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def choose(page, pixels, name="my horse.png"):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    page.set_input_files(
        "#file", {"name": name, "mimeType": "", "buffer": data.getvalue()}
    )


def shown(page, canvas):
    """Waits for a translation; returns uint8 [H, W, 3] of a canvas."""
    page.locator("#tool[aria-busy=false]").wait_for()
    assert page.locator("#error").is_hidden(), page.locator("#error").inner_text()
    png = page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
    data = base64.b64decode(png.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def bicubic(pixels, size):
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_pixels_are_those_of_the_translator(site, open_page, name):
    address, runs = site
    page = open_page(f"{address}/{name}/")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    options = page.locator("#direction option").evaluate_all(
        "all => all.map(o => o.value)"
    )
    assert options == RUNS[name][1]
    tall = picture(90, 45)
    sized = {
        "own": picture(43, 66, seed=1),
        "64": bicubic(tall, (64, 32)),
        # As Pillow 13 does, which begins with the side that shrinks more.
        "square": bicubic(bicubic(tall, (64, 45)), (64, 64)),
    }
    for direction in options:
        translator = Translator.load(runs / name, direction)
        page.select_option("#direction", direction)
        for size, expected in sized.items():
            page.select_option("#size", size)
            choose(page, expected if size == "own" else tall)
            np.testing.assert_array_equal(shown(page, "before"), expected)
            result = np.broadcast_to(translator(expected), expected.shape)
            assert np.std(result) > 2
            difference = np.abs(shown(page, "after").astype(int) - result)
            assert difference.max() <= LEVELS
            assert np.mean(difference > 0) < 1e-2
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == f"my horse_{options[-1]}.png"
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"))
    np.testing.assert_array_equal(saved, shown(page, "after"))
    elsewhere = [u for u in requests if not u.startswith((address, "blob:", "data:"))]
    assert elsewhere == []


@pytest.mark.slow
def test_mistakes_are_one_sentence_each(site, open_page):
    address, _ = site
    page = open_page(f"{address}/colour/")
    error = page.locator("#error")
    no_picture = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
    page.set_input_files("#file", no_picture)
    error.wait_for()
    assert error.inner_text().startswith("notes.txt is no picture")
    page.locator("#outcome").wait_for(state="hidden")
    choose(page, picture(16, 16))
    assert shown(page, "after").shape == (16, 16, 3)
    text = page.request.get(f"{address}/colour/").text()
    few = text.replace('"most": ', '"most": 2, "all": ')
    page.route("**/colour/", lambda route: route.fulfill(body=few))
    page.reload()
    choose(page, picture(16, 16))
    page.get_by_text("16 pixels are too many for a browser").wait_for()
    page.unroute_all()
    page.add_init_script("delete globalThis.WebAssembly")
    page.reload()
    assert "has no WebAssembly" in page.locator("#served").inner_text()
    assert page.locator("#tool").is_hidden()


@pytest.mark.slow
def test_the_network_is_fetched_once_for_several_pictures(site, open_page):
    address, _ = site
    page = open_page(f"{address}/colour/")
    fetched = []
    page.on("request", lambda request: fetched.append(request.url.endswith(".onnx")))
    for seed in range(3):
        choose(page, picture(16, 16, seed=seed))
        shown(page, "after")
    assert sum(fetched) == 1


@pytest.mark.slow
def test_opened_from_disk_it_says_how(site, open_page, tmp_path):
    address, _ = site
    page = open_page(f"{address}/colour/")
    (tmp_path / "index.html").write_text(page.request.get(f"{address}/colour/").text())
    page = open_page(tmp_path / "index.html")
    assert "python -m http.server" in page.locator("#served").inner_text()
    assert page.locator("#tool").is_hidden()


@pytest.mark.slow
def test_keyboard_phone_and_stop(site, open_page):
    address, _ = site
    options = {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"}
    page = open_page(f"{address}/colour/", **options)
    choose(page, picture(90, 200))
    shown(page, "after")
    page.locator("#cut").press("End")
    clip = "getComputedStyle(document.getElementById('after')).clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 100%)"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.select_option("#size", "own")
    choose(page, picture(1200, 1600))
    page.locator("#stop").click()
    assert page.locator("#status").inner_text() == ""
    choose(page, picture(20, 30))
    assert shown(page, "after").shape == (20, 30, 3)


def export(*arguments):
    return command.main(command.parser().parse_args(arguments))


@pytest.mark.slow
def test_folders_that_are_not_for_pages(site, tmp_path):
    _, runs = site
    before = sorted((runs / "colour").iterdir())
    with pytest.raises(UserError, match="colour has other files, such as"):
        export(f"--workdir={runs}/colour", f"--output={runs}/colour/")
    assert sorted((runs / "colour").iterdir()) == before
    with pytest.raises(UserError, match="in / for the folder of a web page"):
        export(f"--workdir={runs}/colour", f"--output={tmp_path}/page")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="a page needs a folder"):
        export(f"--workdir={runs}/colour", f"--output={file}/")
    for name in ("new", "new"):  # The second time it is replaced.
        assert not export(f"--workdir={runs}/colour", f"--output={tmp_path}/{name}/")
    with pytest.raises(UserError, match="has no generator AtoB"):
        export(f"--workdir={runs}/grey", f"--output={tmp_path}/n/", "--direction=AtoB")
    with pytest.raises(UserError, match="--onnxruntime_web goes with a page"):
        export("--workdir=x", "--output=x.onnx", "--onnxruntime_web=x")


def test_the_package_of_the_runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"there is no npm here.*--onnxruntime_web"):
        runtime_web.load()
    with pytest.raises(UserError, match="x is not the npm package onnxruntime-web@"):
        runtime_web.load(str(tmp_path / "x"))
    (tmp_path / "package.tgz").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"package\.tgz is not the npm package"):
        runtime_web.load(str(tmp_path / "package.tgz"))
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as package:
        for name in runtime_web.FILES:  # Folders.
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.type = tarfile.DIRTYPE
            package.addfile(entry)
    with pytest.raises(UserError, match=r"package\.tgz is not the npm package"):
        runtime_web.load(str(tmp_path / "package.tgz"))
    for name in runtime_web.FILES:
        (tmp_path / name).write_bytes(b"another version")
    with pytest.raises(UserError, match="is not that of onnxruntime-web@"):
        runtime_web.load(str(tmp_path))
    assert not (tmp_path / "cyclegan_jax").exists()
    cache = tmp_path / "cyclegan_jax" / f"onnxruntime-web-{runtime_web.VERSION}"
    cache.mkdir(parents=True)
    for name in runtime_web.FILES:
        (cache / name).write_bytes(b"damaged")
    with pytest.raises(UserError, match="there is no npm here"):
        runtime_web.load()


def test_npm_without_a_network(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho npm error network >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(UserError, match=r"cannot be fetched \(npm error network\)"):
        runtime_web.load()
