"""Runs that are kept ready, and translate one picture at a time."""

import collections
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.choosing import list_steps
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation.fallback import FallbackTranslator
from cyclegan_jax.translation.photos import Animation, Photo, open_photo, stored_size
from cyclegan_jax.translation.translator import Size

MAX_PIXELS = 50_000_000
"""Largest picture that is opened, in pixels."""

_KEPT = 8  # Runs at a step, and generators that are compiled.
_Value = TypeVar("_Value")


class Translation(NamedTuple):
    """A translated picture.

    Attributes:
      before: uint8 [H, W, C], as the generator was given it.
      after: uint8 [H, W, C'].
      note: about it, for people.
    """

    before: np.ndarray
    after: np.ndarray
    note: str


class Service:
    """Translates pictures with several runs at any of their checkpoints.

    Attributes:
      runs: name -> folder. A name is the folder's own, with as many of the folders
        above it as it takes to tell it from the others.
      steps: name -> the steps of its checkpoints, in order.
      directions: name -> the directions that it has, AtoB or BtoA.
    """

    def __init__(self, workdirs: Sequence[str], *, average: bool = True):
        """Loads the newest checkpoint of each run.

        Args:
          workdirs: the runs' folders.
          average: use averaged (EMA) parameters where they exist.

        Raises:
          UserError: there is no such run, or it has no checkpoint.
        """
        self.runs = _names([files.as_path(workdir) for workdir in workdirs])
        self.steps = {name: list_steps(path) for name, path in self.runs.items()}
        self._average, self._lock = average, threading.Lock()
        self._loaded: collections.OrderedDict[Hashable, Run] = collections.OrderedDict()
        self._ready: collections.OrderedDict[Hashable, FallbackTranslator] = (
            collections.OrderedDict()
        )
        self.directions = {
            name: list(self.run(name).translations) for name in self.runs
        }

    def run(self, name: str, step: int = 0) -> Run:
        """Returns a run at a checkpoint; 0 for the newest.

        Raises:
          UserError: there is no such run or checkpoint.
        """
        if name not in self.runs:
            raise UserError(f"there is no run {name!r}, only {', '.join(self.runs)}.")
        steps = self.steps[name]
        step = step or steps[-1]
        if step not in steps:  # Said here without the server's folders.
            known = ", ".join(map(str, steps))
            raise UserError(f"{name} has no checkpoint of step {step}, but of {known}.")
        load = functools.partial(Run.load, self.runs[name], step, average=self._average)
        run = _kept(self._loaded, (name, step), load)
        run.check_pictures("the app")
        return run

    def translate(
        self,
        path: str | None,
        name: str,
        direction: str = "AtoB",
        *,
        size: Size = "keep",
        longest_side: int = 0,
        tile_size: int = 512,
        step: int = 0,
    ) -> Translation:
        """Translates a picture.

        Args:
          path: of its file; None for no picture.
          name: of the run.
          direction: AtoB or BtoA.
          size: see `Translator`.
          longest_side: larger pictures are shrunk to it first, in pixels; 0 for none.
          tile_size: see `Translator`.
          step: of the checkpoint; 0 for the newest.

        Raises:
          UserError: there is no picture, run, checkpoint or direction, the picture
            cannot be read, or it is too large.
        """
        if not path:
            raise UserError("there is no picture; choose one first.")
        numbers = {"longest_side": longest_side, "tile_size": tile_size, "step": step}
        for key, value in numbers.items():
            if type(value) is not int or value < 0:
                raise UserError(f"{key} is {value!r}; it must be an integer from 0 on.")
        _check_size(path)
        with self._lock:  # One at a time has all devices.
            run = self.run(name, step)
            known = self.directions[name]
            if direction in DIRECTIONS and direction not in known:
                raise UserError(
                    f"{name} has no generator {direction}, but {', '.join(known)}."
                )
            kind = (name, direction, size, tile_size if size == "tile" else 0)
            make = functools.partial(
                FallbackTranslator, run, direction, size=size, tile_size=tile_size
            )
            generator = _kept(self._ready, kind, make)
            generator.use(run)
            channels = generator.translator.channels_in
            photo, note = _open(path, channels, run.config.data.as_stored)
            before = _shrunk(photo.pixels, longest_side)
            if size == "resize":
                before = resize(before, *[run.config.data.crop_size] * 2)
            started, in_tiles = time.monotonic(), generator.in_tiles
            (after,) = generator([before])
        seconds = time.monotonic() - started
        height, width = before.shape[:2]
        note = f"step {run.step:,}, {width}x{height} pixels, {seconds:.1f} s{note}"
        if generator.in_tiles > in_tiles:
            note += ", in tiles: too large for the memory"
        return Translation(before, after, note)


def _kept(
    kept: "collections.OrderedDict[Hashable, _Value]",
    key: Hashable,
    make: Callable[[], _Value],
) -> _Value:
    """Returns what is kept for a key, or makes it; the least recently used goes."""
    if key not in kept:
        kept[key] = make()
    kept.move_to_end(key)
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return kept[key]


def _names(paths: Sequence[epath.Path]) -> dict[str, epath.Path]:
    """Name -> path, with the shortest names that differ."""
    whole = {os.fspath(files.absolute(path)): path for path in paths}
    depth = 1
    while True:
        names = {"/".join(text.split("/")[-depth:]): p for text, p in whole.items()}
        if len(names) == len(whole):
            return names
        depth += 1


def _check_size(path: str) -> None:
    width, height = stored_size(epath.Path(path))
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{os.path.basename(path)} has {width}x{height} pixels; at most"
            f" {MAX_PIXELS / 1e6:.0f} million are opened here: shrink it first."
        )


def _open(path: str, channels: int, as_stored: bool) -> tuple[Photo, str]:
    """Opens a picture; also says what of it is left out."""
    try:
        photo: Any = open_photo(path, channels, as_stored=as_stored)
        if isinstance(photo, Animation):
            count = photo.count
            hdr = f", {photo.hdr}" if photo.hdr else ""
            try:
                return next(photo.frames()), f", the first of {count} frames{hdr}"
            finally:
                photo.close()
    except UserError as error:  # Without the server's folders.
        text = str(error).replace(path, os.path.basename(path))
        raise UserError(text) from error
    text = ", of more than 8 bits a channel, read as 8" if photo.deep else ""
    return photo, text + (f", {photo.hdr}" if photo.hdr else "")


def _shrunk(pixels, longest):
    height, width = pixels.shape[:2]
    if not longest or max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    return resize(
        pixels, *(max(1, math.floor(s * scale + 0.5)) for s in (height, width))
    )
