"""Numbers of a run, as lines of JSON and as TensorBoard events.

On object stores, which cannot append, files that grow are kept in memory and written
whole, at most once a second, and always before a checkpoint that stands on them.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.uploads import Upload

# tensorboardX imports PyTorch where it is installed: seconds at every start.
_hidden = "torch" not in sys.modules
if _hidden:
    sys.modules["torch"] = None  # type: ignore[assignment]
try:
    from tensorboardX import event_file_writer, record_writer, summary
    from tensorboardX.proto import event_pb2
finally:
    if _hidden:
        del sys.modules["torch"]

_EVENTS_BYTES = 2**18  # What is written again at each log, at most; and a picture.


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
        self._workdir = storage.locate(workdir)
        self._files = {}
        try:
            for name in ("metrics.jsonl", "timing.jsonl"):
                content = self._truncate(self._workdir / name, resume_step)
                self._files[name] = _open_to_append(self._workdir / name, content)
            self._events = _Events(self._workdir / "tensorboard", resume_step + 1)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _truncate(self, path, resume_step):
        """Returns what is left of a file."""
        if not path.exists():
            return ""
        lines = [line for line in _read_lines(path) if line["step"] <= resume_step]
        content = "".join(json.dumps(line) + "\n" for line in lines)
        files.write(path, content)
        return content

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
            self._files[name].write(f"{line}\n".encode())
            self._files[name].flush()
            scalars = (summary.scalar(key, value) for key, value in values.items())
            self._events.write(step, *scalars)
        except OSError as error:
            raise self._cannot_write(error) from error

    def wait(self) -> None:
        """Waits until all lines are where they belong: call it before a checkpoint.

        Raises:
          UserError: the disk is full, say.
        """
        try:
            for file in self._files.values():
                if isinstance(file, Upload):
                    file.wait()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error):
        return UserError(
            f"{self._workdir} cannot be written to ({error.strerror or error});"
            " free some space or choose another --workdir, then run again to resume."
        )

    def close(self) -> None:
        """Closes all files.

        Raises:
          UserError: an object store did not take the last lines.
        """
        try:
            with contextlib.ExitStack() as stack:  # All, though one may fail.
                for file in (*self._files.values(), self._events):
                    stack.callback(file.close)
        except OSError as error:
            raise self._cannot_write(error) from error

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            return self.close()
        with contextlib.suppress(Exception):  # The first error counts.
            self.close()


def _open_to_append(path, content):
    if files.is_remote(path):
        return Upload(path, content.encode())
    return path.open("ab")


class _Events:
    """TensorBoard's events, written at once.

    tensorboardX's own SummaryWriter does it in a thread, where a full disk goes unseen.
    On object stores a new file begins every so often; TensorBoard reads them all.
    """

    def __init__(self, folder: epath.Path, first_step: int):
        folder.mkdir(exist_ok=True)
        self._folder, self._number = folder, 0
        self._remote = files.is_remote(folder)
        self._open()
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(first_step, session_log=start)  # Later steps of before are void.

    def _open(self):
        # The name has the time in seconds: the number tells files of one second apart.
        suffix = f".{self._number}" if self._remote else ""
        name = os.fspath(self._folder / "events")
        self._file = event_file_writer.EventsWriter(name, suffix)
        self._number, self._bytes = self._number + 1, 0

    def _write(self, step, **content):
        event = event_pb2.Event(step=step, wall_time=time.time(), **content)
        self._file.write_event(event)
        self._bytes += event.ByteSize()

    def write(self, step: int, *contents: Any) -> None:
        for content in contents:
            self._write(step, summary=content)
        self._file.flush()
        if self._remote and self._bytes > _EVENTS_BYTES:
            self._file.close()
            self._open()

    def close(self) -> None:
        self._file.close()


class _Uploads:
    """How tensorboardX opens files on gs://; its own writes all at every flush."""

    @staticmethod
    def open(path: str) -> Upload:
        return Upload(epath.Path(path))

    @staticmethod
    def directory_check(path: str) -> None:
        del path  # There are no folders.


record_writer.register_writer_factory("gs", _Uploads)


def read_metrics(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """Reads the lines of `metrics.jsonl`; none if there is no such file.

    Raises:
      UserError: a line other than the last one cannot be read.
    """
    path = storage.locate(workdir) / "metrics.jsonl"
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
