"""The work of translate.py: translates files to files with the same names."""

from collections.abc import Sequence

from etils import epath

from cyclegan_jax import directions
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path
from cyclegan_jax.machine import hosts, interrupts
from cyclegan_jax.runs.run import Run, open_experiment
from cyclegan_jax.translation import inputs as finding
from cyclegan_jax.translation import measured, saving, sheets, targets
from cyclegan_jax.translation.batch import Batch
from cyclegan_jax.translation.fallback import FallbackTranslator
from cyclegan_jax.translation.translator import Size


def translate(
    inputs: Sequence[str],
    output: epath.PathLike,
    *,
    workdir: epath.PathLike,
    direction: str = "AtoB",
    step: int | None = None,
    average: bool = True,
    size: Size = "keep",
    tile_size: int = 512,
    cycle: bool = False,
    grid: bool = False,
    image_format: str | None = None,
    quality: int | None = None,
    skip_existing: bool = False,
) -> int:
    """Translates files into a folder, or one file into another.

    A file that cannot be translated is reported; the others are translated.

    Args:
      inputs: pictures, videos, folders of them (all below, too) and patterns.
      output: the folder, in which files keep their names but for the ending; or with
        one input the name of a file. Videos become MP4s.
      workdir: the run's folder.
      direction: AtoB or BtoA.
      step: of a checkpoint; None for the newest.
      average: use averaged (EMA) parameters where they exist.
      size: see `Translator`.
      tile_size: see `Translator`.
      cycle: also translate back, into `cycle` in the output folder.
      grid: also write sheets of inputs and outputs, into `grid`.
      image_format: of the pictures, such as png or jpg; by default that of the
        output's name, or png; tif, if that cannot hold the run's measured values.
      quality: of lossy formats, 1 to 100; see `saving.Style`.
      skip_existing: skip inputs with a translation that is not older.

    Returns:
      0, or 1 if something was left out.

    Raises:
      UserError: there is nothing to do, or it cannot be done.
    """
    output = as_path(output)
    if grid and skip_existing:
        raise UserError(
            "grid's sheets show all pictures, and skip_existing leaves some out; give"
            " one of the two."
        )
    sources, left_out = finding.find(inputs, output)
    if not sources:
        raise UserError(_nothing(inputs, left_out))
    ways = (direction, directions.other(direction)) if cycle else (direction,)
    styles = _styles(workdir, ways, _suffix(image_format, output), quality)
    suffix = styles[0].suffix
    jobs = targets.plan(sources, output, suffix, cycle=cycle, grid=grid)
    done_before = [job for job in jobs if skip_existing and job.is_done()]
    jobs = [job for job in jobs if job not in done_before]
    run = Run.load(workdir, step, average=average)
    translators = [
        FallbackTranslator(run, way, size=size, tile_size=tile_size) for way in ways
    ]
    own = hosts.share(len(jobs), multiple=sheets.ROWS if grid else 1)
    folder = output.parent if targets.names_file(output) else output
    pages = sheets.Sheets(folder / "grid", own.start // sheets.ROWS) if grid else None
    batch = Batch(translators, styles, pages)
    if hosts.is_main():
        batch.outcomes.leave_out_all(left_out)
    try:
        with interrupts.ending_cleanly():
            batch.run([jobs[i] for i in own])
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output} cannot be written to ({reason}).") from error
    if run.config.data.as_stored:
        print(
            "Pictures were read as in training: without turning them or converting"
            " their colours (config.data.as_stored)."
        )
    batch.report(direction, output, len(done_before) if hosts.is_main() else 0)
    return batch.outcomes.status


def _suffix(image_format, output):
    """The ending that is asked for; "" for none."""
    if image_format:
        return image_format
    suffix = output.suffix.lower()
    named = targets.names_file(output) and suffix in saving.SUFFIXES
    return suffix if named else ""


def _styles(workdir, ways, suffix, quality):
    """How the outputs of each direction are written: in PNG, if that can hold all."""
    if ways[0] not in directions.DIRECTIONS:
        raise UserError(f"direction {ways[0]!r} is not AtoB or BtoA.")
    experiment = open_experiment(workdir)
    pixels = [experiment.pixels[directions.domains(way)[1]] for way in ways]
    fits = all(not p.measured or measured.can_write(p, ".png") for p in pixels)
    suffix = suffix or ("png" if fits else "tif")
    return [saving.Style(suffix, quality, p) for p in pixels]


def _nothing(inputs, left_out: LeftOut):
    if not inputs:
        return "name pictures, videos, or folders that hold some."
    rest = left_out.describe()
    where = " ".join(map(str, inputs))
    return f"there is no picture or video in {where}" + (
        f": left out {rest}." if rest else "."
    )
