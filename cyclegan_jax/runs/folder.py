"""The folder of a run: its config, its environment, and its lock."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.data.fingerprint import same_images
from cyclegan_jax.errors import UserError, closest
from cyclegan_jax.machine import environment
from cyclegan_jax.runs import configuration, lease, storage
from cyclegan_jax.runs.checkpoints import complete_steps
from cyclegan_jax.runs.integrity import scores
from cyclegan_jax.runs.setting import Change


def read_config(workdir: epath.PathLike) -> dict[str, Any]:
    """Reads the config of a run, with defaults for settings that it lacks.

    Raises:
      UserError: the folder holds no run, or its config cannot be read.
    """
    path = storage.locate(workdir) / "config.json"
    try:
        config = json.loads(path.read_text())
        if not isinstance(config, dict):
            raise ValueError("it holds no settings")
        return configuration.complete(config)
    except FileNotFoundError:
        raise UserError(
            f"{workdir} holds no run (there is no config.json in it);"
            f" name the folder that train.py wrote to{_nearest(path.parent)}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def _nearest(workdir):
    """Names the run beside a folder whose name is most like it, or where all are."""
    if files.is_remote(workdir) or not workdir.parent.is_dir():
        return ""
    runs = [str(path.parent) for path in workdir.parent.glob("*/config.json")]
    nearest = closest(str(workdir), runs)
    return f", such as {nearest}" if nearest else ""


def load_config(workdir: epath.PathLike) -> ml_collections.ConfigDict:
    """Reads the config of a run, with its settings as attributes; see `read_config`."""
    try:
        return ml_collections.ConfigDict(read_config(workdir))
    except (ValueError, TypeError) as error:  # Such as a dot in a name.
        path = storage.locate(workdir) / "config.json"
        raise UserError(f"{path} holds no settings: {error}.") from error


def prepare(workdir: epath.PathLike) -> None:
    """Configures this process for a run's networks; call it before JAX is first used.

    Raises:
      UserError: the folder holds no run, or its config cannot be read.
    """
    config = read_config(workdir)
    names = ("compute_dtype", "deterministic", "same_bits")
    environment.prepare(**{name: config[name] for name in names})


def check(
    workdir: epath.PathLike,
    config: Mapping[str, Any],
    *,
    allow_changes: bool = False,
) -> dict[str, tuple[Any, Any]]:
    """Checks that a folder is free, or holds a run that this config can resume.

    A run without a checkpoint simply starts from the new config.

    Args:
      workdir: the folder.
      config: of the training that is about to start.
      allow_changes: allow changes of settings that affect the results.

    Returns:
      The settings that change: name -> (old, new).

    Raises:
      UserError: it contains another run; the message lists the differences.
    """
    workdir = storage.locate(workdir)
    if not (workdir / "config.json").exists():
        return {}
    _refuse_imported(workdir)
    if not complete_steps(workdir):
        return {}
    changed = configuration.differences(read_config(workdir), config)
    if "best_metric" in changed and not list(scores(workdir / "checkpoints")):
        changed["best_metric"] = (*changed["best_metric"][:2], Change.NOTED)
    kinds = {change for _, _, change in changed.values()}
    if Change.NEVER in kinds:
        advice = configuration.advise_another_run(changed, workdir)
    elif Change.NOTED in kinds and not allow_changes:
        advice = (
            "Use the same settings to resume it; or add --allow_changes to resume it"
            " with the new ones, which run.json will record; or use another --workdir."
        )
    else:
        return {name: (old, new) for name, (old, new, _) in changed.items()}
    lines = [
        f"\n  {name}: {old!r} -> {new!r}" for name, (old, new, _) in changed.items()
    ]
    raise UserError(
        f"{workdir} holds a run with another configuration:{''.join(lines)}\n{advice}"
    )


def create(
    workdir: epath.PathLike,
    config: Mapping[str, Any],
    *,
    resumes: bool = False,
    **about: Any,
) -> None:
    """Writes config.json and run.json into the folder of a run that starts.

    The files of a run that is resumed stay until its checkpoint is loaded, and
    `record_resume` writes what changes.

    Args:
      workdir: the folder; created if needed.
      config: of the run.
      resumes: whether there is a checkpoint; without one the files are overwritten.
      **about: further content of run.json, besides the config and the environment;
        `data` (their fingerprint) must be the same in a run that is resumed.

    Raises:
      UserError: the folder cannot be written to, or its run had other data.
    """
    workdir = storage.locate(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if resumes and (workdir / "run.json").exists():
            _check_data(workdir, about.get("data"))
            return
        about = {"config": dict(config), "seed": config.get("seed")} | about
        files.write_json(workdir / "run.json", about | environment.describe())
        files.write_json(workdir / "config.json", dict(config))
    except OSError as error:
        raise _cannot_write(workdir, error) from error


def record_resume(
    workdir: epath.PathLike,
    step: int,
    config: Mapping[str, Any],
    settings: Mapping[str, tuple[Any, Any]],
) -> list[str]:
    """Writes config.json, and to run.json that a run was resumed and what had changed.

    Args:
      workdir: the run's folder.
      step: finished steps.
      config: of the run from now on.
      settings: those that changed, see `check`.

    Returns:
      What is not as at the start; see `environment.differences`.
    """
    about = read_about(workdir)
    before = resumptions(about)
    changed = environment.differences(about) if about else []
    if settings or changed != (before[-1]["changed"] if before else []):
        note = {"after_step": step, "changed": changed}
        if settings:
            note["settings"] = {name: list(pair) for name, pair in settings.items()}
        about["went_on"] = [*before, note]
        files.write_json(storage.locate(workdir) / "run.json", about)
    # Last: after a kill before it the settings are noted again, not forgotten.
    files.write_json(storage.locate(workdir) / "config.json", dict(config))
    return changed


def resumptions(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the entries of `record_resume` in a run.json; ignores invalid ones."""
    notes = about.get("went_on")
    return [
        note
        for note in (notes if isinstance(notes, list) else [])
        if isinstance(note, dict) and isinstance(note.get("changed"), list)
    ]


def _cannot_write(workdir, error):
    return UserError(
        f"the run's folder {workdir} cannot be written to"
        f" ({error.strerror or error}); choose another --workdir."
    )


def read_about(workdir: epath.PathLike) -> dict[str, Any]:
    """Reads run.json; empty if there is none, or it is unreadable."""
    try:
        about = json.loads((storage.locate(workdir) / "run.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _check_data(workdir, data):
    before = read_about(workdir).get("data") or {}
    known = [s for s in data or {} if s in before]  # Masks may be new.
    changed = [s for s in known if not same_images(before[s], data[s])]
    if changed:
        raise UserError(
            f"the images of {', '.join(changed)} are not those that the run in"
            f" {workdir} began with ({before.get(changed[0])} then,"
            f" {data[changed[0]]} now): bring them back, or choose"
            " another --workdir for another run, which can start from this one's"
            f" networks (--config.init_from={workdir})."
        )


def _refuse_imported(workdir):
    if "imported" in read_about(workdir):
        raise UserError(
            f"{workdir} holds imported networks; to train them on, start from them in"
            f" another folder: --config.init_from={workdir} --workdir=..."
        )


@contextlib.contextmanager
def lock(workdir: epath.PathLike) -> Iterator[None]:
    """Keeps a second trainer out of a folder while active; see lease.py.

    The folder is created if needed.

    Raises:
      UserError: another process trains there, or it cannot be written to.
    """
    workdir = storage.locate(workdir)
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lease.lock(workdir))
        except OSError as error:
            raise _cannot_write(workdir, error) from error
        yield
