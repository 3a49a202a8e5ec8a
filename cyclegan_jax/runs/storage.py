"""Where a run's folder can be, and whether checkpoints can be kept there."""

import os
import uuid

import tensorstore
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.data.formats import printable
from cyclegan_jax.errors import UserError

_PATIENCE = 60.0  # Seconds for one small object.


def locate(workdir: epath.PathLike) -> epath.Path:
    """Returns the path of a run's folder.

    Raises:
      UserError: it is where Orbax cannot write checkpoints to.
    """
    if (name := printable(os.fspath(workdir))) != os.fspath(workdir):
        raise UserError(
            f"{name}: checkpoints cannot be kept in a folder whose name is not UTF-8;"
            " rename it, or choose another --workdir."
        )
    remote = files.is_remote(workdir)
    scheme = os.fspath(workdir).partition("://")[0]
    if remote and scheme != "gs":
        raise UserError(
            f"{workdir}: a run's folder cannot be on {scheme}://, because checkpoints"
            " are written to gs:// and to file systems only; use one of these, such as"
            " a folder that the bucket is mounted to (the data may stay there)."
        )
    return files.as_path(workdir)


def check_writable(folder: epath.Path) -> None:
    """Writes a small file to where checkpoints will go, and reads it.

    Written by TensorStore, as the checkpoints' arrays, and read by `epath`, as the
    rest: each has its own way to an object store.

    Args:
      folder: made if needed.

    Raises:
      UserError: it cannot be written to, or gives back something else.
    """
    name, content = f".writable_{uuid.uuid4().hex}", uuid.uuid4().hex.encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = tensorstore.KvStore.open(_spec(folder)).result(timeout=_PATIENCE)
        store.write(name, content).result(timeout=_PATIENCE)
        found = (folder / name).read_bytes()
        (folder / name).unlink()
    except TimeoutError as error:
        raise UserError(
            f"{folder} does not answer within {_PATIENCE:.0f} s."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(
            f"checkpoints cannot be kept in {folder} ({reason[:200]}); choose another"
            " --workdir."
        ) from error
    if found != content:
        raise UserError(
            f"{folder} does not give back what is written to it; choose another"
            " --workdir."
        )


def _spec(folder):
    """What TensorStore calls a folder."""
    if not files.is_remote(folder):
        return {"driver": "file", "path": f"{files.absolute(folder)}/"}
    bucket, _, path = os.fspath(folder).removeprefix("gs://").partition("/")
    return {"driver": "gcs", "bucket": bucket, "path": f"{path}/"}


def move(source: epath.Path, target: epath.Path) -> None:
    """Moves a folder, on object stores file by file.

    There, the file that makes a checkpoint complete leaves first: a checkpoint of which
    half is moved is none.

    Args:
      source: the folder.
      target: its new place, which does not exist; folders above it are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not files.is_remote(source):
        source.rename(target)
        return
    names = [
        os.fspath(file)[len(os.fspath(source)) + 1 :] for file in _all_files(source)
    ]
    for name in sorted(names, key=lambda name: name != "commit_success.txt"):
        (target / name).write_bytes((source / name).read_bytes())
        (source / name).unlink()
    if source.exists():  # A folder that someone made an object of.
        source.rmtree()


def _all_files(folder):
    for path in folder.iterdir():
        if path.is_dir():
            yield from _all_files(path)
        else:
            yield path
