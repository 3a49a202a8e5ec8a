"""Does a run again from its run.json, and says what is different now."""

import json

import ml_collections
from etils import epath

from cyclegan_jax.data.fingerprint import fingerprint, same_images
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, hosts, runtime
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.training import loop


def reproduce(path: epath.Path, workdir: epath.Path) -> int:
    """Trains as the run that a run.json describes was trained.

    Args:
      path: of the run.json.
      workdir: folder of the new run.

    Returns:
      The exit status of the training.

    Raises:
      UserError: it cannot be read, or describes no training.
    """
    try:
        about = json.loads(path.read_text())
        config = ml_collections.ConfigDict(about["config"])
        _check_settings(config)
        config.update_from_flattened_dict(_as_it_ended(path.parent, about["config"]))
        environment.make_deterministic(config.deterministic)
        runtime.compute_in(config.compute_dtype)
        experiment.build_method(config)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not describe a run that can be done again ({error!r})."
        ) from error
    if hosts.is_main():
        found = environment.differences(about) + environment.uncommitted()
        print(_say(path, found + _other_data(about, config)))
        for note in run_folder.notes(about):
            changed = "; ".join(map(str, note["changed"])) or "all as at the start"
            print(f"That run went on after step {note.get('after_step')}: {changed}.")
    status = loop.train(config, workdir)
    if hosts.is_main() and not status:
        print(
            f"Compare: python -m cyclegan_jax.fingerprint {path.parent} {workdir}",
        )
    return status


def _check_settings(config):
    """A stranger's or an older config may lack some: better now than in an hour."""
    from configs import default

    known = run_folder.flatten(default.get_config().to_dict())
    if missing := sorted(set(known) - set(run_folder.flatten(config.to_dict()))):
        raise KeyError(f"its config has no {missing[0]}")


def _as_it_ended(workdir, config):
    """Returns how long the run was in the end, where its data are now, and the like."""
    if not (workdir / "config.json").exists():
        return {}
    now = run_folder.read_config(workdir)
    if run_folder.differences(config, now):
        return {}  # Of another run.
    flat = run_folder.flatten(now)
    return {name: flat[name] for name in run_folder.REPORTING if name in flat}


def _other_data(about, config):
    """Lists the splits whose images are not those of then."""
    then = about.get("data")
    if not isinstance(then, dict) or not config.data.fingerprint:
        return []
    now = fingerprint(experiment.load_dataset(config))
    changed = [s for s in now if not same_images(then.get(s), now[s])]
    return [f"data.{split}: {then.get(split)} -> {now[split]}" for split in changed]


def _say(path, found):
    if not found:
        return f"Everything is as {path} says."
    lines = "\n  ".join(found)
    return (
        f"{len(found)} things are not as {path} says; results may differ by rounding,"
        f" or more:\n  {lines}"
    )
