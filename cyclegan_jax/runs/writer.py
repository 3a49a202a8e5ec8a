"""Numbers of a run, as lines of JSON and as TensorBoard events."""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from tensorboardX import event_file_writer, summary
from tensorboardX.proto import event_pb2

from cyclegan_jax import files
from cyclegan_jax.errors import UserError


class MetricsWriter:
    """Appends to `metrics.jsonl`, `timing.jsonl` and TensorBoard's events.

    `metrics.jsonl` holds no clock time, so that a run done twice writes it twice the
    same; what depends on the machine goes to `timing.jsonl`. Use it as a context
    manager.
    """

    def __init__(self, workdir: epath.PathLike, *, resume_step: int = 0):
        """Opens the files in a run's folder.

        Args:
          workdir: the run's folder; it exists.
          resume_step: lines of later steps are dropped, as is a torn last line.

        Raises:
          UserError: the folder cannot be written to.
        """
        self._workdir = epath.Path(workdir)
        self._files = {}
        try:
            for name in ("metrics.jsonl", "timing.jsonl"):
                self._truncate(self._workdir / name, resume_step)
                self._files[name] = (self._workdir / name).open("a")
            self._events = _Events(self._workdir / "tensorboard", resume_step + 1)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _truncate(self, path, resume_step):
        if not path.exists():
            return
        lines = [line for line in _read_lines(path) if line["step"] <= resume_step]
        files.write(path, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a step.

        Raises:
          UserError: the file cannot be written, for example because the disk is full.
        """
        self._append("metrics.jsonl", step, metrics)

    def write_timing(self, step: int, timing: Mapping[str, float]) -> None:
        """Writes what depends on the machine, such as images per second."""
        self._append("timing.jsonl", step, timing)

    def write_image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a uint8 [H, W, C] picture to TensorBoard."""
        try:
            self._events.write(step, summary.image(name, pixels, dataformats="HWC"))
        except OSError as error:
            raise self._cannot_write(error) from error

    def _append(self, name, step, values):
        line = json.dumps({"step": step, **values})
        try:
            self._files[name].write(line + "\n")
            self._files[name].flush()
            scalars = (summary.scalar(key, value) for key, value in values.items())
            self._events.write(step, *scalars)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error):
        return UserError(
            f"{self._workdir} cannot be written to ({error.strerror or error});"
            " free some space or choose another --workdir, then run again to resume."
        )

    def close(self) -> None:
        """Closes all files."""
        with contextlib.suppress(OSError):  # What did not fit was reported before.
            self._events.close()
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


class _Events:
    """TensorBoard's events, written at once.

    tensorboardX's own SummaryWriter does it in a thread, where a full disk goes unseen.
    """

    def __init__(self, folder: epath.Path, first_step: int):
        folder.mkdir(exist_ok=True)
        self._file = event_file_writer.EventsWriter(os.fspath(folder / "events"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(first_step, session_log=start)  # Later steps of before are void.

    def _write(self, step, **content):
        event = event_pb2.Event(step=step, wall_time=time.time(), **content)
        self._file.write_event(event)

    def write(self, step: int, *contents: Any) -> None:
        for content in contents:
            self._write(step, summary=content)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """Reads the lines of `metrics.jsonl`; none if there is no such file.

    Raises:
      UserError: a line other than the last one cannot be read.
    """
    path = epath.Path(workdir) / "metrics.jsonl"
    return _read_lines(path) if path.exists() else []


def _read_lines(path):
    lines, parsed = path.read_bytes().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            if not isinstance(values, dict) or not isinstance(values["step"], int):
                raise ValueError("a line has values by name, and a step")
            parsed.append(values)
        except (ValueError, LookupError, RecursionError):
            if number == len(lines):  # Torn by a crash while it was written.
                break
            raise UserError(
                f"line {number} of {path} is damaged; remove that line to resume."
            ) from None
    return parsed
