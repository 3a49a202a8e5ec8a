"""Sets damaged checkpoints aside when a run is resumed."""

import time

from etils import epath

from cyclegan_jax.machine import hosts
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.integrity import DamagedCheckpoint, broken_scores


def set_damaged_aside(folder: epath.PathLike, aside: epath.PathLike) -> list[str]:
    """Moves damaged checkpoints that are newer than the newest intact one.

    Must be called on all processes; each reads that one in full.

    Args:
      folder: of the checkpoints.
      aside: the folder to move them to.

    Returns:
      Sentences that name them.

    Raises:
      UserError: all are damaged; none is moved then.
    """
    folder, aside, found = epath.Path(folder), epath.Path(aside), []
    # Only one process checks, because another may be about to create the folder.
    if not hosts.from_main(folder.exists()):
        return []
    sentences = _set_scores_aside(folder, aside)
    checkpoints = Checkpoints(folder, read_only=True)
    try:
        for step in reversed(checkpoints.steps()):
            try:
                checkpoints.load_arrays(step)
            except DamagedCheckpoint as error:
                found.append((step, error))
            else:
                break
        else:
            if found:
                raise found[0][1]
    finally:
        checkpoints.close()
    for step, damage in found:
        what = str(damage).partition("; delete")[0]
        sentences.append(f"{what}: it is set aside in {aside}, the one before is used.")
        if hosts.is_main():
            storage.move(folder / str(step), aside / f"{step}_{time.time_ns()}")
    hosts.barrier("damaged checkpoints")
    return sentences


def _set_scores_aside(folder, aside):
    """Sets invalid scores aside; their checkpoints can still be resumed."""
    sentences = []
    for file in broken_scores(folder) if hosts.is_main() else ():
        step = file.parent.parent.name
        storage.move(file.parent, aside / f"{step}_score_{time.time_ns()}")
        sentences.append(
            f"the score of checkpoint {step} cannot be read: it is set aside in"
            f" {aside}, and the checkpoint is used without it."
        )
    hosts.barrier("damaged scores")
    return sentences
