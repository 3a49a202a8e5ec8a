"""Paths as users write them, and files that are whole or not there."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import files
from cyclegan_jax.errors import UserError


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


def test_a_relative_path_is_shown_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.seen_from_here("x") == f"x in {tmp_path}"
    assert files.seen_from_here("/x") == "/x"
    assert files.seen_from_here("gs://x") == "gs://x"
