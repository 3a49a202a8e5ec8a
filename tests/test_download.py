"""Files of weights over HTTP, from a server on this machine."""

import contextlib
import http.server
import os
import threading

import pytest
import requests

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files import download as downloading
from cyclegan_jax.torch_files.download import check_sha256, download
from tests.oracle import cases

CONTENT = (cases.GOLDEN / "pixel_batch.pth").read_bytes()
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, or something else by what the address has in it."""

    failures = 0

    def do_GET(self):
        if "missing" in self.path:
            return self.send_error(404)
        if "busy" in self.path:
            Handler.failures -= 1
            if Handler.failures >= 0:
                return self.send_error(503)
        content = b"<html>Please log in</html>" if "page" in self.path else CONTENT
        size = len(content) + (10 if "cut" in self.path else 0)
        self.send_response(200)
        if "endless" not in self.path:
            self.send_header("Content-Length", "some" if "odd" in self.path else size)
        self.end_headers()
        with contextlib.suppress(OSError):  # The client has gone.
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def url():
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_fetched_once(url, tmp_path):
    path = download(f"{url}/a.pth", tmp_path)
    assert path.read_bytes() == CONTENT
    again = download(f"{url}/a.pth".replace("http:", "ftp:"), tmp_path)
    assert again == path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut", r"the connection broke off\); where there is a network"),
        ("missing", "the server says 404"),
        ("busy", "the server says 503"),
        ("page", "is not a file of weights"),
        ("odd", "cannot be fetched"),
    ],
)
def test_what_is_not_kept(url, tmp_path, no_pause, monkeypatch, name, reason):
    monkeypatch.setattr(Handler, "failures", 100)
    with pytest.raises(UserError, match=reason):
        download(f"{url}/{name}.pth", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_busy_server_is_asked_again(url, tmp_path, no_pause, monkeypatch):
    monkeypatch.setattr(Handler, "failures", 2)
    assert download(f"{url}/busy.pth", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["a", "endless"])
def test_too_large(url, tmp_path, monkeypatch, name):
    monkeypatch.setattr(downloading, "_LARGEST", 1000)
    with pytest.raises(UserError, match="more than 1000 bytes came"):
        download(f"{url}/{name}.pth", tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_network(tmp_path, no_pause):
    with pytest.raises(UserError, match=r"\(no connection\).* \S+b\.pth here"):
        download("http://127.0.0.1:1/b.pth", tmp_path)


def test_silence(tmp_path, no_pause, monkeypatch):
    def get(*args, timeout, **kwargs):
        assert 0 < timeout < 100
        raise requests.ReadTimeout

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(UserError, match="no answer"):
        download("http://127.0.0.1:1/b.pth", tmp_path)


def test_another_file(url, tmp_path):
    with pytest.raises(UserError, match=rf"{url}/a.pth has the .*, not {ABC}\.$"):
        download(f"{url}/a.pth", tmp_path, sha256=ABC)
    assert not list(tmp_path.iterdir())
    path = download(f"{url}/a.pth", tmp_path)
    with pytest.raises(UserError, match=f"not {ABC}; delete it"):
        download(f"{url}/a.pth", tmp_path, sha256=ABC)
    assert path.exists()  # Whoever put it there may want it.


def test_no_place(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        download(f"{url}/a.pth", tmp_path / "file")


def test_checksum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    check_sha256(tmp_path / "a", ABC.upper())
    check_sha256(tmp_path / "a", "")
    with pytest.raises(UserError, match=f"has the SHA-256 {ABC}, not 00"):
        check_sha256(tmp_path / "a", "00")


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_cache_folder_without_a_setting(monkeypatch, value):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert os.fspath(files.cache_folder()) == "/home/someone/.cache/cyclegan_jax"


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert os.fspath(files.cache_folder()) == "/caches/cyclegan_jax"


def test_no_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        files.cache_folder()
