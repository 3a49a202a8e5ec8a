"""Does a run again from its run.json, and says what is different now."""

import json

import ml_collections
from etils import epath

from cyclegan_jax import environment, experiment, hosts, loop, run_folder
from cyclegan_jax.data.fingerprint import fingerprint
from cyclegan_jax.errors import UserError


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
        environment.make_deterministic(config.deterministic)
        experiment.build_method(config)  # Whatever a stranger's config lacks, now.
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


def _other_data(about, config):
    """Lists the splits whose images are not those of then."""
    then = about.get("data")
    if not isinstance(then, dict) or not config.data.fingerprint:
        return []
    now = fingerprint(experiment.load_dataset(config))
    changed = [split for split in now if then.get(split) != now[split]]
    return [f"data.{split}: {then.get(split)} -> {now[split]}" for split in changed]


def _say(path, found):
    if not found:
        return f"Everything is as {path} says."
    lines = "\n  ".join(found)
    return (
        f"{len(found)} things are not as {path} says; results may differ by rounding,"
        f" or more:\n  {lines}"
    )
