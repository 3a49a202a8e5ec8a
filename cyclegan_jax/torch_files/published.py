"""The files of published weights: where they are, and the tensors in them."""

import importlib.metadata
import importlib.util
import io
import pickle
import zipfile
from typing import Any

import numpy as np
from etils import epath

from cyclegan_jax import files, torch_files
from cyclegan_jax.core.methods.interface import Pretrained
from cyclegan_jax.core.networks.published import Package, Published, install
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files.download import (
    cached,
    check_sha256,
    download,
    file_sha256,
)

AUTO = "auto"  # The setting for the installed package, the cache, or the release.
_ONNX = "onnx>=1.23,<2"


def locate(network: Published) -> epath.Path:
    """Finds the file of a network: in its package, the cache, or the public release.

    Raises:
      UserError: it is in none of them, or is another file than the known one.
    """
    if network.url and (path := cached(network.url, sha256=network.sha256)):
        return path
    if network.package and (path := in_package(network.package)):
        return path
    if not network.url:
        assert network.package is not None  # One of the two.
        raise UserError(f"{network.title} needs a package: {install(network.package)}")
    try:
        return download(network.url, sha256=network.sha256)
    except UserError as error:
        if network.package is None:
            raise
        text = str(error).removesuffix(".")
        raise UserError(f"{text}; or: {install(network.package)}") from error


def parameters(source: Pretrained) -> Any:
    """Reads the parameters of a network that a method does not train.

    Raises:
      UserError: the file is missing, damaged, or another one than it should be.
    """
    auto = source.path == AUTO
    path = locate(source.network) if auto else files.as_path(source.path)
    if not path.exists():
        raise UserError(
            f"there is no file {path}: config.{source.setting} is a file with the"
            f" weights of {source.network.title}, auto, or random."
        )
    tensors = read_tensors(path)
    sha256 = file_sha256(path)
    if not auto and not sha256.startswith(source.sha256.lower()):
        raise UserError(
            f"{source.path} has the SHA-256 {sha256}, which does not begin with"
            f" {source.sha256} (config.{source.setting}_sha256)."
        )
    return source.network.from_torch(source.module, tensors, str(path))


def in_package(package: Package) -> epath.Path | None:
    """Returns where the file of an installed package is; None if it is not installed.

    Raises:
      UserError: another version is installed, with another file or none.
    """
    try:
        installed = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = files.as_path(str(installed.locate_file(package.file)))
    try:
        check_sha256(path, package.sha256)
    except (OSError, UserError) as error:
        raise UserError(
            f"{package.name} {installed.version} is installed, but {path} is not the"
            f" file of {package.version}: {install(package)}"
        ) from error
    return path


def read_tensors(path: epath.PathLike) -> dict[str, np.ndarray]:
    """Reads tensors by their names in PyTorch.

    Args:
      path: of a file that `torch_files.read` reads; or, by its suffix, .npz, .onnx (as
        PyTorch exports it), or .ckpt: nested dictionaries of NumPy's arrays, pickled;
        their names are joined by dots.

    Raises:
      UserError: the file is missing or damaged, or holds anything else.
    """
    path = files.as_path(path)
    readers = {".npz": _read_npz, ".onnx": _read_onnx, ".ckpt": _read_pickle}
    return readers.get(path.suffix, torch_files.read)(path)


def _read_npz(path):
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(f"{path} cannot be read as .npz ({reason}).") from error


def _read_onnx(path):
    """The weights of a graph.

    Where the exporter folded a weight into a constant without a name, it gets that of
    the operation that takes it: `/encoder/fc/MatMul` multiplies by the transposed
    `encoder.fc.weight`.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UserError(f"reading {path} needs a package: pip install '{_ONNX}'")
    import onnx  # Late: an extra.

    try:
        graph = onnx.load_model_from_string(path.read_bytes()).graph
        weights = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be read ({reason}).") from error
    except Exception as error:  # Of protobuf, whose errors have no base of their own.
        raise UserError(f"{path} is not an ONNX file, or is damaged.") from error
    for node in graph.node:
        for name in node.input:
            if not name.startswith("onnx::") or name not in weights:
                continue
            where = node.name.strip("/").replace("/", ".")
            if node.op_type == "MatMul":
                layer = where.rpartition(".")[0]
                weights[f"{layer}.weight"] = weights.pop(name).T
            else:
                weights[where] = weights.pop(name)
    return weights


class _Arrays(pickle.Unpickler):
    """Unpickles arrays of NumPy, and runs nothing else."""

    def find_class(self, module, name):
        known = {
            "_reconstruct": np.zeros(0).__reduce__()[0],
            "ndarray": np.ndarray,
            "dtype": np.dtype,
        }
        if module.partition(".")[0] != "numpy" or name not in known:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return known[name]


def _read_pickle(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be read ({reason}).") from error
    if content[:2] == b"PK" or torch_files.reading.is_legacy(content[:64]):
        return torch_files.read(path)  # Lightning's, which PyTorch wrote.
    try:
        tensors = dict(_flatten(_Arrays(io.BytesIO(content)).load(), ""))
    except Exception as error:  # Of a damaged pickle: almost any.
        raise UserError(
            f"{path} holds something else than arrays by name, or is damaged."
        ) from error
    return tensors


def _flatten(value, name):
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _flatten(child, f"{name}.{key}" if name else str(key))
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield name, value
    else:
        raise ValueError(f"{name} is no array of numbers")
