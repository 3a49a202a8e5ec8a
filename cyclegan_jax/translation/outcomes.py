"""What became of each file: translated, or left out for a reason."""

import errno
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from etils import epath

from cyclegan_jax.data import formats
from cyclegan_jax.data.arrays import MissingPackage
from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.errors import is_out_of_memory
from cyclegan_jax.progress import Progress
from cyclegan_jax.translation import video
from cyclegan_jax.translation.fallback import TooLarge
from cyclegan_jax.translation.saving import Unsuitable
from cyclegan_jax.translation.targets import Job

# Errors of a single file name, not of the output folder.
_OF_ONE_FILE = (errno.ENAMETOOLONG, errno.EISDIR, errno.EILSEQ, errno.EINVAL)
_REASONS = {
    UnreadableImage: "unreadable pictures",
    MissingPackage: "without the package that reads them",
    video.UnreadableVideo: "unreadable videos",
    TooLarge: "too large for the memory",
    Unsuitable: "not possible in this format",
    OSError: "not writable",
}


class Outcomes:
    """Counts files, and reports those that are left out.

    Attributes:
      done: files translated.
      left_out: files that were not, by reason.
      notes: what happened to how many translated files.
    """

    def __init__(self):
        """Begins with none."""
        self.done, self.left_out = 0, LeftOut()
        self.notes: Counter[str] = Counter()

    @property
    def status(self) -> int:
        """The exit status: 1 if a file was left out."""
        return 1 if set(self.left_out) - {formats.SYSTEM} else 0

    def leave_out_all(self, left_out: LeftOut) -> None:
        """Reports the files that are skipped from the start."""
        for reason, names in left_out.items():
            for name in names:
                self.left_out.add(reason, name)
                if reason != formats.SYSTEM:
                    say(f"left out {formats.printable(name)}: {reason}")

    def attempt(self, job: Job, work: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `work`; if it fails for this file alone, the file is left out.

        Returns:
          What `work` returns; None if it failed.

        Raises:
          Exception: any error that is not of this file alone.
        """
        try:
            return work(*arguments)
        except tuple(_REASONS) as error:
            if _stops_all(error):
                raise
            kind = next(kind for kind in _REASONS if isinstance(error, kind))
            self._leave_out(job, _REASONS[kind], error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._leave_out(job, _REASONS[TooLarge], "out of memory")
        return None

    def _leave_out(self, job, reason, error):
        name = os.fspath(job.input.path)
        self.left_out.add(reason, name)
        text = getattr(error, "strerror", None) or str(error)
        what, bracket, _ = text.partition("): ")  # Without the advice.
        say(f"left out {formats.printable(name)}: {what}{bracket[:1]}")

    def report(self, direction: str, output: epath.Path, done_before: int) -> None:
        """Prints what was translated, and counts of what was left out by reason."""
        system = len(self.left_out.get(formats.SYSTEM, ()))
        rest = sum(map(len, self.left_out.values())) - system
        total = self.done + done_before + rest
        text = f"Translated {self.done:,} of {total:,} files {direction} into {output}."
        if done_before:
            text += f" {done_before:,} were there already."
        if self.left_out:
            text += f" Left out: {self.left_out.describe()}."
        print(text)
        for note, count in self.notes.items():
            print(f"{count:,} {note}.")


def _stops_all(error):
    """Whether an error affects all outputs, not only this file."""
    return isinstance(error, OSError) and error.errno not in _OF_ONE_FILE


def say(text: str) -> None:
    """Prints a line about a file to the standard error, beside the progress bar."""
    Progress.write(text, file=sys.stderr)
