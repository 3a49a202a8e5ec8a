"""The folder of a run: its config, what it ran on, and who may write to it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.data.fingerprint import same_images
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, runtime

# Settings that change what a run writes or when it ends, not what it computes.
REPORTING = (
    "max_steps",
    "log_every_steps",
    "sample_every_steps",
    "evaluate_every_steps",
    "num_samples",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "keep_every_steps",
    "data.path",
    "data.data_dir",
    "data.train_a",
    "data.train_b",
    "data.test_a",
    "data.test_b",
    "data.cache_gib",
    "data.fingerprint",
)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns {"data": {"path": ""}} into {"data.path": ""}."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lists `setting: old -> new` for all settings that change what a run computes."""
    old, new = flatten(old), flatten(new)
    missing = "(not set)"
    return [
        f"{key}: {old.get(key, missing)!r} -> {new.get(key, missing)!r}"
        for key in sorted(set(old) | set(new))
        if key not in REPORTING and old.get(key, missing) != new.get(key, missing)
    ]


def read_config(workdir: epath.PathLike) -> dict[str, Any]:
    """Reads the config of a run.

    Raises:
      UserError: the folder holds no run, or its config cannot be read.
    """
    path = epath.Path(workdir) / "config.json"
    try:
        config = json.loads(path.read_text())
        if not isinstance(config, dict):
            raise ValueError("it holds no settings")
        return config
    except FileNotFoundError:
        raise UserError(
            f"{workdir} holds no run (there is no config.json in it);"
            " name the folder that train.py wrote to."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def load_config(workdir: epath.PathLike) -> ml_collections.ConfigDict:
    """Reads the config of a run, with its settings as attributes; see `read_config`."""
    try:
        return ml_collections.ConfigDict(read_config(workdir))
    except (ValueError, TypeError) as error:  # A dot in a name, say.
        path = epath.Path(workdir) / "config.json"
        raise UserError(f"{path} holds no settings: {error}.") from error


def prepare(workdir: epath.PathLike) -> None:
    """Sets this process up to use a run's networks; call it before JAX's first use.

    Raises:
      UserError: the folder holds no run, or its config cannot be read.
    """
    runtime.compute_in(read_config(workdir).get("compute_dtype", ""))


def check(workdir: epath.PathLike, config: Mapping[str, Any]) -> None:
    """Checks that a folder is free, or holds a run of the same config.

    Raises:
      UserError: it holds another run; shows the difference.
    """
    workdir = epath.Path(workdir)
    if not (workdir / "config.json").exists():
        return
    _refuse_imported(workdir)
    if changed := differences(read_config(workdir), config):
        raise UserError(
            f"{workdir} holds a run with another configuration:\n  "
            + "\n  ".join(changed)
            + "\nUse the same settings to resume it, or another --workdir."
        )


def create(workdir: epath.PathLike, config: Mapping[str, Any], **about: Any) -> None:
    """Writes config.json and, the first time, run.json into the folder of a run.

    Args:
      workdir: the folder; made if needed.
      config: of the run.
      **about: what else run.json is to say, besides the config and the environment;
        `data` (their fingerprint) must be the same in a run that goes on.

    Raises:
      UserError: the folder cannot be written to, or its run had other data.
    """
    workdir = epath.Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if (workdir / "run.json").exists():
            _check_data(workdir, about.get("data"))
        else:
            about = {"config": dict(config), "seed": config.get("seed")} | about
            files.write_json(workdir / "run.json", about | environment.describe())
        files.write_json(workdir / "config.json", dict(config))
    except OSError as error:
        raise _cannot_write(workdir, error) from error


def went_on(workdir: epath.PathLike, step: int) -> None:
    """Notes in run.json where a run goes on elsewhere, or with other versions.

    Args:
      workdir: the run's folder.
      step: finished steps.
    """
    about = read_about(workdir)
    before = notes(about)
    changed = environment.differences(about) if about else []
    if changed != (before[-1]["changed"] if before else []):
        note = {"after_step": step, "changed": changed}
        about["went_on"] = [*before, note]
        files.write_json(epath.Path(workdir) / "run.json", about)


def notes(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns what `went_on` has noted in a run.json; leaves out what it has not."""
    found = about.get("went_on")
    return [
        note
        for note in (found if isinstance(found, list) else [])
        if isinstance(note, dict) and isinstance(note.get("changed"), list)
    ]


def _cannot_write(workdir, error):
    return UserError(
        f"the run's folder {workdir} cannot be written to"
        f" ({error.strerror or error}); choose another --workdir."
    )


def read_about(workdir: epath.PathLike) -> dict[str, Any]:
    """Reads run.json; empty where there is none that can be read."""
    try:
        about = json.loads((epath.Path(workdir) / "run.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _check_data(workdir, data):
    before = read_about(workdir).get("data")
    if not before or not data:
        return
    changed = [s for s in data if not same_images(before.get(s), data[s])]
    if changed:
        raise UserError(
            f"the images of {', '.join(changed)} are not those that the run in"
            f" {workdir} began with ({before.get(changed[0])} then,"
            f" {data[changed[0]]} now): bring them back, or start another run."
        )


def _refuse_imported(workdir):
    if "imported" in read_about(workdir):
        raise UserError(
            f"{workdir} holds imported networks; to train them on, start from them in"
            f" another folder: --config.init_from={workdir} --workdir=..."
        )


@contextlib.contextmanager
def lock(workdir: epath.PathLike) -> Iterator[None]:
    """Keeps a second trainer out of a local folder; the system frees it at exit.

    The folder is made if needed.

    Raises:
      UserError: another process trains there, or it cannot be written to.
    """
    if "://" in os.fspath(workdir):  # Object stores have no locks.
        yield
        return
    workdir = epath.Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("w")
    except OSError as error:
        raise _cannot_write(workdir, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is training in {workdir}; stop it first,"
                " or choose another --workdir."
            ) from None
        yield
