"""Paths as users write them, and files that are whole or not there."""

import os
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import files, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import choosing, comparing, folder
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights.runs import export_weights
from tests.translating import make_run


def test_paths_of_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "sets")
    assert files.as_path("~/runs") == files.as_path(tmp_path / "runs")
    assert files.as_path("$HOME/$DATA") == files.as_path(tmp_path / "sets")
    assert str(files.as_path("a/../b c/é")) == "a/../b c/é"


def test_storage(monkeypatch):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install gcsfs"):
        files.as_path("gs://bucket/run")
    with pytest.raises(UserError, match="ftp"):
        files.as_path("ftp://server/run")
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: name)
    path = files.as_path("gs://bucket/run")
    assert files.is_remote(path)
    assert files.absolute(path / "x") == path / "x"
    assert not files.is_remote("/s3/run")
    assert str(files.absolute("run")) == str(pathlib.Path.cwd() / "run")


def test_a_file_is_whole_or_not_there(monkeypatch, tmp_path):
    path = files.as_path(tmp_path / "page.html")
    files.write(path, "é")
    assert (tmp_path / "page.html").read_bytes() == "é".encode()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "é"


def test_json_and_pictures(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    1\n  ]\n}\n'
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    files.save_png(tmp_path / "a.png", pixels)
    files.save_png(tmp_path / "grey.png", pixels[..., :1])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    assert Image.open(tmp_path / "grey.png").mode == "L"


def test_names_of_every_kind(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "elsewhere")
    longest, strange = "é" * 125 + ".html", os.fsdecode(b"caf\xe9")
    for name in (longest, "a" * 255, strange, "$HOME.png", "100%\n", "~x"):
        files.write(tmp_path / name, name)
        assert files.as_path(name).read_bytes() != b""
        assert files.as_path(tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 6
    assert (tmp_path / strange).read_bytes() == b"caf\\udce9"
    with pytest.raises(OSError, match="too long"):
        files.write(tmp_path / ("a" * 256), "")
    (tmp_path / "$HOME.png").unlink()
    assert str(files.as_path("$HOME.png")) == "elsewhere.png"


# Which of a user's paths may be made into one without `files.as_path`: none.
_OWN_PATHS = {
    "app/service.py": "an upload, where the server has put it",
    "export/runtime_web.py": "what npm has written",
    "data/cycle_gan_tfds.py": "below what as_path returned",
    "files.py": "as_path itself, and what it returned",
    "data/decode.py": "names of sources, as listed",
    "runs/recovery.py": "below a run's folder",
    "runs/writer.py": "below a run's folder",
    "torch_files/download.py": "the cache's own",
    "translation/inputs.py": "what a pattern matched",
    "translation/video.py": "inputs and targets, as listed",
}


def test_every_path_of_a_user_goes_through_as_path():
    package = pathlib.Path(files.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"epath\.Path\((?!\))", path.read_text())
    }
    assert found == set(_OWN_PATHS)


def test_a_run_is_found_by_every_reader(monkeypatch, tmp_path):
    make_run(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for workdir in ("~/run", "$HOME/run", "${HOME}/./run"):
        run = Run.load(workdir)
        assert run.workdir == files.as_path(tmp_path / "run")
        assert choosing.choose_step(workdir, "latest") == run.step
        assert comparing.of_checkpoint(workdir, run.step)
        assert folder.read_about(workdir)["imported"]
        written = export_weights(run, f"{workdir}/weights")
        assert written[0].parent == files.as_path(tmp_path / "run" / "weights")
        assert torch_files.read(f"{workdir}/weights/{written[0].name}")
    with pytest.raises(UserError, match=r"not UTF-8; rename"):
        Run.load(os.fsdecode(b"r\xe9n"))


def test_a_relative_path_is_shown_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.seen_from_here("x") == f"x in {tmp_path}"
    assert files.seen_from_here("/x") == "/x"
    assert files.seen_from_here("gs://x") == "gs://x"
