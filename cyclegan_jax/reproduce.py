"""Does a run again from its run.json, and says what is different now."""

import json

import ml_collections
from etils import epath

from cyclegan_jax import environment, hosts, loop
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not describe a run that can be done again ({error!r})."
        ) from error
    found = environment.differences(about)
    if hosts.is_main():
        print(_say(path, found))
    status = loop.train(config, workdir)
    if hosts.is_main() and not status:
        print(
            f"Compare: python -m cyclegan_jax.fingerprint {path.parent} {workdir}",
        )
    return status


def _say(path, found):
    if not found:
        return f"Everything is as {path} says."
    lines = "\n  ".join(found)
    return (
        f"{len(found)} things are not as {path} says; results may differ by rounding,"
        f" or more:\n  {lines}"
    )
