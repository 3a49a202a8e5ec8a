"""Translates many files; failures are reported, and the other files are translated."""

import errno
import functools
import itertools
import os
import sys
from collections import Counter
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from cyclegan_jax import images
from cyclegan_jax.data import formats
from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.formats import LeftOut
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.errors import is_out_of_memory
from cyclegan_jax.progress import Progress
from cyclegan_jax.translation import video
from cyclegan_jax.translation.fallback import FallbackTranslator, TooLarge
from cyclegan_jax.translation.photos import Animation, Photo, open_photo, stored_size
from cyclegan_jax.translation.saving import Style, Unsuitable, write
from cyclegan_jax.translation.sheets import Sheets
from cyclegan_jax.translation.targets import Job

_PIXELS_AT_ONCE = 2**22
# Errors of a single file name, not of the output folder.
_OF_ONE_FILE = (errno.ENAMETOOLONG, errno.EISDIR, errno.EILSEQ, errno.EINVAL)
_REASONS = {
    UnreadableImage: "unreadable pictures",
    video.UnreadableVideo: "unreadable videos",
    TooLarge: "too large for the memory",
    Unsuitable: "not possible in this format",
    OSError: "not writable",
}


class Batch:
    """Translates files and counts the results.

    Attributes:
      done: files translated.
      left_out: files that were not, by reason.
    """

    def __init__(
        self,
        translators: Sequence[FallbackTranslator],
        style: Style,
        sheets: Sheets | None,
    ):
        """Says how.

        Args:
          translators: there, and maybe back.
          style: how pictures are written.
          sheets: where pictures are shown, too.
        """
        self.done, self.left_out = 0, LeftOut()
        self._forth, self._back = translators[0], (*translators, None)[1]
        self._style, self._sheets = style, sheets
        translator = self._forth.translator
        self._open = functools.partial(
            open_photo,
            channels=translator.channels_in,
            as_stored=translator.run.config.data.as_stored,
        )
        self._notes: Counter[str] = Counter()
        self._at_once = 8 * jax.local_device_count()

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
                    _say(f"left out {formats.printable(name)}: {reason}")

    def run(self, jobs: Sequence[Job]) -> None:
        """Translates files.

        Raises:
          OSError: nothing can be written.
          UserError: nothing can be translated.
        """
        opened: list[tuple[Job, Photo]] = []
        with Progress(total=len(jobs), unit="file") as bar:
            pixels = 0
            for job in self._in_order(jobs):
                photo = self._attempt(job, self._open_or_finish, job)
                size = photo.pixels.shape[0] * photo.pixels.shape[1] if photo else 0
                if len(opened) == self._at_once or pixels + size > _PIXELS_AT_ONCE:
                    self._translate_photos(opened)
                    opened, pixels = [], 0
                if photo is not None:
                    opened.append((job, photo))
                    pixels += size
                bar.update()
            self._translate_photos(opened)
        if self._sheets:
            self._sheets.close()

    def _in_order(self, jobs):
        """Groups images by size, so that each size is compiled once."""
        if self._sheets:  # Which show them in the order in which they were named.
            return jobs

        def size(job):
            return (0, 0) if job.input.is_video else stored_size(job.input.path)

        return sorted(jobs, key=size)

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
        for note, count in self._notes.items():
            print(f"{count:,} {note}.")
        if in_tiles := self._forth.in_tiles:
            print(f"{in_tiles:,} went in tiles, being too large for the memory.")

    def _attempt(self, job, work, *arguments):
        """Calls `work`; if it fails for this file alone, the file is left out."""
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
        _say(f"left out {formats.printable(name)}: {what}{bracket[:1]}")

    def _open_or_finish(self, job) -> Photo | None:
        """Opens an image; translates videos and animations immediately."""
        if job.input.is_video:
            self._translate_video(job)
            return None
        photo = self._open(job.input.path)
        if isinstance(photo, Animation):
            try:
                self._translate_animation(job, photo)
            finally:
                photo.close()
            return None
        if photo.pages > 1:
            _say(f"note: {job.input.path} has {photo.pages} pages; the first is used")
        return photo

    def _translate_video(self, job):
        notes = video.translate(job.input.path, job.target, self._forth)
        if job.cycled is not None:
            video.translate(job.target, job.cycled, self._back)
        for note in notes:
            _say(f"note: {note}")
        self.done += 1

    def _translate_photos(self, opened):
        jobs, photos = [job for job, _ in opened], [photo for _, photo in opened]
        try:
            results = self._there_and_back([photo.pixels for photo in photos])
        except TooLarge:  # One of them: which?
            results = [
                self._attempt(job, self._there_and_back, [photo.pixels])
                for job, photo in opened
            ]
            results = [result and result[0] for result in results]
        for job, photo, result in zip(jobs, photos, results, strict=True):
            if result is not None:
                self._attempt(job, self._finish, job, photo, *result)

    def _there_and_back(self, pictures):
        """Translates pictures; pairs of a result and what became of it, or None."""
        results = self._forth(pictures)
        back = self._back(results) if self._back else [None] * len(results)
        return list(zip(results, back, strict=True))

    def _finish(self, job, photo, result, cycled):
        for path, pixels in ((job.target, result), (job.cycled, cycled)):
            if path is not None:
                pixels = self._with_alpha(pixels, photo)
                write(path, self._style.encode(pixels, photo.exif))
        if photo.alpha is not None and not self._style.transparent:
            self._notes[f"lost transparency: {self._style.suffix[1:]} has none"] += 1
        if self._sheets:
            self._sheets.add(photo.pixels, result, cycled)
        self.done += 1

    def _translate_animation(self, job, animation):
        if not self._style.animates:
            raise Unsuitable(
                f"{self._style.suffix[1:]} files cannot be animated, and it has"
                f" {animation.count} frames; png, webp and gif can"
            )
        frames, cycled = [], []
        photos = animation.frames()
        while some := list(itertools.islice(photos, self._at_once)):
            pairs = self._there_and_back([photo.pixels for photo in some])
            for photo, (result, back) in zip(some, pairs, strict=True):
                frames.append(self._with_alpha(result, photo))
                if back is not None:
                    cycled.append(self._with_alpha(back, photo))
        for path, pictures in ((job.target, frames), (job.cycled, cycled)):
            if path is not None:
                data = self._style.encode_animation(
                    pictures, animation.durations, animation.loop, animation.exif
                )
                write(path, data)
        self.done += 1

    def _with_alpha(self, pixels, photo):
        """Adds the transparency of the input."""
        if photo.alpha is None or pixels.shape[-1] == 4 or not self._style.transparent:
            return pixels
        alpha = resize(photo.alpha[..., None], *pixels.shape[:2])
        return np.concatenate([images.as_rgb(pixels), alpha], axis=-1)


def _stops_all(error):
    """Whether an error affects all outputs, not only this file."""
    return isinstance(error, OSError) and error.errno not in _OF_ONE_FILE


def _say(text):
    Progress.write(text, file=sys.stderr)
