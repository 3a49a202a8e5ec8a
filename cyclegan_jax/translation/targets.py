"""Output paths of translations: unique names below the output folder."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from etils import epath

from cyclegan_jax.data.formats import names_picture
from cyclegan_jax.errors import UserError
from cyclegan_jax.translation import saving, sheets, video
from cyclegan_jax.translation.inputs import Input, place

_VIDEO = ".mp4"


class Job(NamedTuple):
    """A file to translate.

    Attributes:
      input: the file.
      target: path of its translation.
      cycled: path of its reconstruction, or None.
    """

    input: Input
    target: epath.Path
    cycled: epath.Path | None

    def is_done(self) -> bool:
        """Whether all its outputs exist and are not older than the input."""
        written = [path for path in (self.target, self.cycled) if path is not None]
        if not all(path.exists() for path in written):
            return False
        oldest = min(path.stat().mtime for path in written)
        return oldest >= self.input.path.stat().mtime


def names_file(output: epath.Path) -> bool:
    """Whether an output is the name of a picture or video, not of a folder."""
    suffixes = (*saving.SUFFIXES, *video.SUFFIXES)
    named = output.suffix.lower() in suffixes or names_picture(output.name)
    return named and not output.is_dir()


def plan(
    inputs: Sequence[Input], output: epath.Path, suffix: str, *, cycle: bool, grid: bool
) -> list[Job]:
    """Assigns output paths to all inputs.

    Args:
      inputs: from `inputs.find`.
      output: the folder, or the name of the one file.
      suffix: of the pictures.
      cycle: also for the way back.
      grid: sheets are written, too.

    Raises:
      UserError: something would be overwritten, or the one file has a wrong name.
    """
    if names_file(output):
        targets = [_single(inputs, output, suffix)]
        folder = output.parent
    else:
        targets, folder = _below(inputs, output, suffix), output
    jobs = []
    for one, target in zip(inputs, targets, strict=True):
        cycled = folder / "cycle" / target.relative_to(folder) if cycle else None
        jobs.append(Job(one, target, cycled))
    count = -(-len(jobs) // sheets.ROWS) if grid else 0
    _check_overwriting(jobs, [sheets.path(folder / "grid", i) for i in range(count)])
    return jobs


def _single(inputs, output, suffix):
    if len(inputs) != 1:
        raise UserError(
            f"--output={output} is the name of one file, and there are"
            f" {len(inputs)} to translate; name a folder."
        )
    wanted = _VIDEO if inputs[0].is_video else suffix
    if output.suffix.lower() != wanted:
        raise UserError(
            f"{inputs[0].path} cannot be written as {output.suffix}; name a file that"
            f" ends in {wanted}, or a folder."
        )
    return output


def _below(inputs: Iterable[Input], output, suffix) -> list[epath.Path]:
    """A path per input; files that share a stem keep their suffix."""
    taken, targets = set(), []
    for one in inputs:
        name, ending = one.name, _VIDEO if one.is_video else suffix
        kind = name.suffix[1:].lower()
        stems = (name.stem, f"{name.stem}_{kind}")
        number = 0
        while True:
            stem = stems[number] if number < 2 else f"{name.stem}_{number}"
            target = output / name.with_name(stem + ending)
            if _key(target) not in taken:
                break
            number += 1
        taken.add(_key(target))
        targets.append(target)
    return targets


def _key(path):
    """Key that is equal for paths that are the same file on some system."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _check_overwriting(jobs, more):
    """Refuses a plan that writes over an input, or one result over another.

    Raises:
      UserError: names the file.
    """
    writes = [job.target for job in jobs] + more
    writes += [job.cycled for job in jobs if job.cycled is not None]
    taken = {place(job.input.path) for job in jobs}
    for path in writes:
        if place(path) in taken:
            raise UserError(
                f"{path} would be overwritten; choose another --output folder, or other"
                " names than cycle and grid for folders of pictures."
            )
        taken.add(place(path))
