"""Translates many files; failures are reported, and the other files are translated."""

import functools
import itertools
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from cyclegan_jax import images
from cyclegan_jax.data.decode import DECLARE
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.progress import Progress
from cyclegan_jax.translation import video
from cyclegan_jax.translation.fallback import FallbackTranslator, TooLarge
from cyclegan_jax.translation.outcomes import Outcomes, say
from cyclegan_jax.translation.photos import (
    Animation,
    Photo,
    Stack,
    open_photo,
    stored_size,
)
from cyclegan_jax.translation.saving import Style, Unsuitable, write
from cyclegan_jax.translation.sheets import Sheets
from cyclegan_jax.translation.targets import Job

_PIXELS_AT_ONCE = 2**22


class Batch:
    """Translates files and counts the results.

    Attributes:
      outcomes: what became of them.
    """

    def __init__(
        self,
        translators: Sequence[FallbackTranslator],
        styles: Sequence[Style],
        sheets: Sheets | None,
    ):
        """Says how.

        Args:
          translators: there, and maybe back.
          styles: how the pictures of each are written.
          sheets: where pictures are shown, too.
        """
        self.outcomes = Outcomes()
        self._forth, self._back = translators[0], (*translators, None)[1]
        self._style, self._back_style = styles[0], styles[-1]
        self._sheets, translator = sheets, self._forth.translator
        self._kinds = translator.pixels_in, translator.pixels_out
        self._open = functools.partial(
            open_photo,
            channels=translator.channels_in,
            as_stored=translator.run.config.data.as_stored,
            pixels=translator.pixels_in,
        )
        self._at_once = 8 * jax.local_device_count()

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
                photo = self.outcomes.attempt(job, self._open_or_finish, job)
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
        self.outcomes.report(direction, output, done_before)
        if in_tiles := self._forth.in_tiles:
            print(f"{in_tiles:,} went in tiles, being too large for the memory.")

    def _open_or_finish(self, job) -> Photo | None:
        """Opens an image; translates videos, animations and stacks immediately."""
        if job.input.is_video:
            self._check_moving("a video")
            self._translate_video(job)
            return None
        photo = self._open(job.input.path)
        if isinstance(photo, Stack):
            self._translate_stack(job, photo.pages)
            return None
        if isinstance(photo, Animation):
            try:
                self._check_moving("an animation")
                self._translate_animation(job, photo)
            finally:
                photo.close()
            return None
        if photo.pages > 1:
            say(f"note: {job.input.path} has {photo.pages} pages; the first is used")
        return photo

    def _check_moving(self, what):
        for pixels in self._kinds:
            if pixels.measured:
                raise Unsuitable(
                    f"{what} has pictures of 8 bits, and this run is of"
                    f" {pixels.describe()} with {pixels.counted}"
                )

    def _translate_stack(self, job, pages):
        if not (self._style.stacks and self._back_style.stacks):
            raise Unsuitable(
                f"it has {len(pages)} pages, and {self._style.suffix[1:]} files have"
                " one; tif, npy and npz can hold them, with measured values"
            )
        results, cycled = zip(*self._there_and_back(list(pages)), strict=True)
        write(job.target, self._style.encode(np.stack(results)))
        if job.cycled is not None:
            write(job.cycled, self._back_style.encode(np.stack(cycled)))
        self.outcomes.done += 1

    def _translate_video(self, job):
        notes = video.translate(job.input.path, job.target, self._forth)
        if job.cycled is not None:
            video.translate(job.target, job.cycled, self._back)
        for note in notes:
            say(f"note: {note}")
        self.outcomes.done += 1

    def _translate_photos(self, opened):
        jobs, photos = [job for job, _ in opened], [photo for _, photo in opened]
        try:
            results = self._there_and_back([photo.pixels for photo in photos])
        except TooLarge:  # One of them: which?
            results = [
                self.outcomes.attempt(job, self._there_and_back, [photo.pixels])
                for job, photo in opened
            ]
            results = [result and result[0] for result in results]
        for job, photo, result in zip(jobs, photos, results, strict=True):
            if result is not None:
                self.outcomes.attempt(job, self._finish, job, photo, *result)

    def _there_and_back(self, pictures):
        """Translates pictures; pairs of a result and what became of it, or None."""
        results = self._forth(pictures)
        back = self._back(results) if self._back else [None] * len(results)
        return list(zip(results, back, strict=True))

    def _finish(self, job, photo, result, cycled):
        notes = self.outcomes.notes
        for path, pixels, style in (
            (job.target, result, self._style),
            (job.cycled, cycled, self._back_style),
        ):
            if path is not None:
                pixels = with_alpha(pixels, photo, style)
                write(path, style.encode(pixels, photo.exif))
        if photo.alpha is not None and not self._style.transparent:
            lacking = f"{self._style.suffix[1:]} has none"
            if self._kinds[1].measured:
                lacking = "measured values have none"
            notes[f"lost transparency: {lacking}"] += 1
        if photo.deep:
            notes[f"of more than 8 bits a channel, read as 8; {DECLARE}"] += 1
        if photo.hdr:
            notes[photo.hdr] += 1
        if self._sheets:
            kinds = (*self._kinds, self._kinds[0])
            shown = zip(kinds, (photo.pixels, result, cycled), strict=True)
            self._sheets.add(*(p if p is None else kind.view(p) for kind, p in shown))
        self.outcomes.done += 1

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
                frames.append(with_alpha(result, photo, self._style))
                if back is not None:
                    cycled.append(with_alpha(back, photo, self._back_style))
        for path, pictures in ((job.target, frames), (job.cycled, cycled)):
            if path is not None:
                data = self._style.encode_animation(
                    pictures, animation.durations, animation.loop, animation.exif
                )
                write(path, data)
        if animation.hdr:
            self.outcomes.notes[animation.hdr] += 1
        self.outcomes.done += 1


def with_alpha(pixels: np.ndarray, photo: Photo, style: Style) -> np.ndarray:
    """Adds the transparency of the input, where it can be written."""
    if photo.alpha is None or pixels.shape[-1] == 4 or not style.transparent:
        return pixels
    alpha = resize(photo.alpha[..., None], *pixels.shape[:2])
    return np.concatenate([images.as_rgb(pixels), alpha], axis=-1)
