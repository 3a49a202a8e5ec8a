"""Trains and scores the rows, in one process each; finished rows are skipped."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.history import best_and_last
from cyclegan_jax.tables.rows import Row

ROOT = pathlib.Path(__file__).parent.parent.parent  # From where it is imported.
_PROGRAM = ("-m", "cyclegan_jax")


@dataclasses.dataclass(frozen=True)
class Job:
    """One training and its evaluation.

    Attributes:
      row: the row of the tables that it is for.
      seed: of the training.
      direction: for methods that learn a single one; "" for both.
      folder: the run's; its result and logs are beside it, with its name.
      config: config file and variant.
      flags: more flags for train.py.
    """

    row: Row
    seed: int
    direction: str
    folder: epath.Path
    config: str
    flags: tuple[str, ...]

    @property
    def name(self) -> str:
        """A description for messages."""
        way = f", {self.direction}" if self.direction else ""
        return f"{self.row.title}{way}, seed {self.seed}"

    def result(self) -> dict | None:
        """Returns its result; None if missing or unreadable.

        That is the newest checkpoint's metrics.json with `seconds`, and perhaps `best`,
        direction -> metric -> the best value of several checkpoints.
        """
        path = self.beside(".json")
        try:
            result = json.loads(path.read_text()) if path.exists() else None
        except ValueError:
            return None
        return result if isinstance(result, dict) else None

    def beside(self, ending: str) -> epath.Path:
        """Returns the path of a file that belongs to the run's folder."""
        return self.folder.with_name(self.folder.name + ending)


def jobs(
    rows: Sequence[Row],
    output: epath.PathLike,
    *,
    data: str,
    seeds: int,
    flags: Sequence[str],
    row_flags: Mapping[str, Sequence[str]],
) -> list[Job]:
    """Lists all trainings.

    Args:
      rows: of the tables.
      output: the folder that gets a folder for each.
      data: the variant of the configs that names the data.
      seeds: trainings of each row, from seed 0 on.
      flags: for all of train.py's calls.
      row_flags: row key -> more flags.
    """
    result = []
    for seed in range(seeds):
        for row in rows:
            for direction in ("BtoA", "AtoB") if row.one_way else ("",):
                ending = f"_{direction}" if direction else ""
                config = row.config.format(data=data)
                config += f"+{direction}" if direction else ""
                folder = (
                    files.as_path(output) / "runs" / f"{row.key}{ending}_seed{seed}"
                )
                more = (*flags, *row_flags.get(row.key, ()), f"--config.seed={seed}")
                result.append(Job(row, seed, direction, folder, config, more))
    return result


def count_seeds(output: epath.Path) -> int:
    """Returns one more than the highest seed that a folder has a result of."""
    names = [path.stem for path in output.glob("runs/*_seed*.json")]
    seeds = [int(seed) for name in names if (seed := name.split("_seed")[-1]).isdigit()]
    return max(seeds, default=-1) + 1


def claim(output: epath.Path, about: dict) -> None:
    """Reserves a folder for some settings.

    Args:
      output: the folder.
      about: the settings that its results share; written to setting.json.

    Raises:
      UserError: it has results of other settings.
    """
    path, before = output / "setting.json", about
    begun = (output / "fcn.safetensors").exists() or any(output.glob("runs/*.json"))
    if begun and path.exists():
        try:
            before = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} cannot be read ({error}): give another --output."
            ) from error
    if changed := [name for name, value in about.items() if before.get(name) != value]:
        name = changed[0]
        raise UserError(
            f"{output} has results for {name}={before.get(name)}, not {about[name]}:"
            " give another --output, or the settings of those results."
        )
    output.mkdir(parents=True, exist_ok=True)
    files.write_json(path, about)


def run(job: Job, scoring: Sequence[str], every: int = 0) -> float:
    """Trains or resumes, evaluates, and keeps the result; returns the seconds.

    The seconds include those of earlier, interrupted calls.

    Args:
      job: what to do.
      scoring: flags of evaluate.py.
      every: the best of the checkpoints so many steps apart is kept, too; 0: it is not.

    Raises:
      UserError: one of the processes failed; its output is in the run's folder.
    """
    start, spent = time.monotonic(), job.beside(".seconds")
    before = float(spent.read_text()) if spent.exists() else 0.0
    arguments = [f"--config={job.config}", f"--workdir={job.folder}"]
    evaluation = ["--inception=none", *scoring, f"--workdir={job.folder}"]
    try:
        call([*_PROGRAM, "train", *arguments, *job.flags], job.beside(".train.log"))
        call([*_PROGRAM, "evaluate", *evaluation], job.beside(".evaluate.log"))
    finally:
        seconds = before + time.monotonic() - start
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        files.write(spent, str(seconds))
    measured = {
        int(path.parent.name): path
        for path in (job.folder / "evaluation").glob("*/metrics.json")
        if path.parent.name.isdigit()
    }
    newest = max(measured)
    result = json.loads(measured[newest].read_text()) | {"seconds": seconds}
    if every:  # Interrupted, a run has checkpoints between.
        steps = sorted(step for step in measured if step % every == 0 or step == newest)
        result["best"] = _best(json.loads(measured[step].read_text()) for step in steps)
    files.write_json(job.beside(".json"), result)
    return seconds


def _best(results):
    """Direction -> metric -> its best value."""
    best: dict[str, dict[str, float]] = {}
    for metric in best_and_last(list(results)):
        direction, _, key = metric["name"].partition("/")
        best.setdefault(direction, {})[key] = metric["best"]
    return best


def train_fcn(
    output: epath.Path, data: str, data_flags: Sequence[str], steps: int
) -> None:
    """Trains the network that segments the photographs of all rows; see `fcn`.

    Args:
      output: the file.
      data: the config that names the data.
      data_flags: more flags of that config.
      steps: of training.

    Raises:
      UserError: it failed.
    """
    arguments = [f"--config={data}", f"--output={output}", *data_flags]
    program = [*_PROGRAM, "train_fcn", f"--steps={steps}"]
    call([*program, *arguments], output.with_name("train_fcn.log"))


def call(arguments: Sequence[str], log: epath.Path) -> None:
    """Runs one of our programs, its output in a file.

    When this one is interrupted, the other is asked to end and has time to save.

    Raises:
      UserError: it failed; shows the last line of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,  # A terminal's Ctrl-C would reach it, too.
        )
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        output = [line for line in log.read_text().splitlines() if line.strip()]
        last = output[-1].removeprefix("error: ") if output else "no output"
        raise UserError(
            f"{shlex.join(arguments[:4])} ended with status {status}: {last}"
            f" (the whole output is in {log}). The same command resumes here."
        )
