"""What translate.py does: files in, files out, with the same names."""

import glob
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from cyclegan_jax import files, images
from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.formats import IMAGE_SUFFIXES, is_hidden
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import hosts
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation import video
from cyclegan_jax.translation.photos import Photo, open_photo
from cyclegan_jax.translation.translator import Size, Translator

_SUFFIXES = IMAGE_SUFFIXES
_THUMBNAIL = 256  # Pixels: side of a picture in a sheet.
_ROWS = 8  # Pictures in a sheet.


def translate(
    inputs: Sequence[str],
    output: str | os.PathLike,
    *,
    workdir: str | os.PathLike,
    direction: str = "AtoB",
    step: int | None = None,
    average: bool = True,
    size: Size = "keep",
    tile_size: int = 512,
    cycle: bool = False,
    grid: bool = False,
) -> int:
    """Translates files into a folder.

    Args:
      inputs: pictures, videos, folders of them (all below, too) and patterns.
      output: the folder; pictures become PNGs of the same names, videos MP4s.
      workdir: the run's folder.
      direction: AtoB or BtoA.
      step: of a checkpoint; None for the newest.
      average: use the moving averages of the parameters where they exist.
      size: see `Translator`.
      tile_size: see `Translator`.
      cycle: also translate back, into `output/cycle`.
      grid: also write sheets with what went in and what came out, `output/grid`.

    Returns:
      0, or 1 if a file could not be read and was left out.

    Raises:
      UserError: there is nothing to do, or it cannot be done.
    """
    output = pathlib.Path(output).expanduser()
    plan = _targets(list(_find(inputs, output)), output)
    _check_overwriting(plan, output, cycle=cycle, grid=grid)
    if any(source.suffix.lower() in video.SUFFIXES for source, _ in plan):
        video.check_installed()
    run = Run.load(workdir, step, average=average)
    forth = Translator(run, direction, size=size, tile_size=tile_size)
    back = None
    if cycle:
        other = "BtoA" if direction == "AtoB" else "AtoB"
        back = Translator(run, other, size=size, tile_size=tile_size)
    own = hosts.share(len(plan), multiple=_ROWS if grid else 1)
    plan = [plan[i] for i in own]
    sheets = _Sheets(output / "grid", own.start // _ROWS) if grid else None
    skipped = 0
    try:
        at_once = 8 * jax.local_device_count()
        with tqdm(total=len(plan), unit="file") as bar:
            for start in range(0, len(plan), at_once):
                some = plan[start : start + at_once]
                skipped += _translate_some(some, forth, back, sheets, output)
                bar.update(len(some))
        if sheets:
            sheets.close()
    except OSError as error:
        raise UserError(
            f"{output} cannot be written to ({error.strerror or error})."
        ) from error
    done = len(plan) - skipped
    print(f"Translated {done} of {len(plan)} files {direction} into {output}.")
    return 1 if skipped else 0


def _translate_some(plan, forth, back, sheets, output):
    """Translates a few files; returns how many could not be read."""
    photos, targets, skipped = [], [], 0
    for source, target in plan:
        try:
            if source.suffix.lower() in video.SUFFIXES:
                video.translate(source, target, forth)
                if back:
                    video.translate(target, _cycle_path(output, target), back)
                continue
            photos.append((source, open_photo(source, forth.channels_in)))
            targets.append(target)
        except (UnreadableImage, video.UnreadableVideo) as error:
            skipped += 1
            what, bracket, _ = str(error).partition("): ")  # Not what to do about it.
            tqdm.write(f"left out {source}: {what}{bracket[:1]}", file=sys.stderr)
    results = forth([photo.pixels for _, photo in photos])
    returned = back(results) if back else [None] * len(results)
    for (source, photo), target, result, cycled in zip(
        photos, targets, results, returned, strict=True
    ):
        _save(target, result, photo)
        if back:
            _save(_cycle_path(output, target), cycled, photo)
        if sheets:
            sheets.add(source, photo.pixels, result, cycled)
    return skipped


def _cycle_path(output, target):
    return output / "cycle" / target.relative_to(output)


def _save(path, pixels, photo: Photo):
    """Writes a translation, with the transparency of what it was made from."""
    if photo.alpha is not None and pixels.shape[-1] < 4:
        alpha = resize(photo.alpha[..., None], *pixels.shape[:2])
        pixels = np.concatenate([pixels, alpha], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.save_png(path, pixels)


def _find(
    inputs: Sequence[str], output: pathlib.Path
) -> Iterator[tuple[pathlib.Path, pathlib.PurePath]]:
    """Yields files and what they are called below the output folder.

    Raises:
      UserError: an input does not exist, or there is no picture or video at all.
    """
    found = False
    for text in inputs:
        paths = [pathlib.Path(text).expanduser()]
        if not paths[0].exists():
            paths = [pathlib.Path(p) for p in sorted(glob.glob(text, recursive=True))]
        if not paths:
            raise UserError(f"there is no {text}.")
        for path in paths:
            if path.is_dir():
                for file in _below(path, output):
                    found = True
                    yield file, file.relative_to(path)
            else:
                found = True
                yield path, pathlib.PurePath(path.name)
    if not found:
        raise UserError(
            "name pictures, videos or folders that hold some"
            f" (looked for {' '.join((*_SUFFIXES, *video.SUFFIXES))})."
        )


def _below(folder, output):
    """Yields the pictures and videos of a folder, but not what we wrote into it."""
    seen = {output.resolve()} - {folder.resolve()}
    for here, folders, names in os.walk(folder, followlinks=True):
        seen.add(pathlib.Path(here).resolve())
        folders[:] = sorted(
            name
            for name in folders
            if not is_hidden(name) and (pathlib.Path(here) / name).resolve() not in seen
        )
        for name in sorted(names):
            path = pathlib.Path(here) / name
            known = path.suffix.lower() in (*_SUFFIXES, *video.SUFFIXES)
            if known and not is_hidden(name) and path.is_file():
                yield path


def _targets(found, output):
    """Gives every file a place; two of one name keep their endings in it."""
    plan, taken = [], {}
    for source, name in found:
        is_video = source.suffix.lower() in video.SUFFIXES
        ending = ".mp4" if is_video else ".png"
        target = output / name.with_suffix(ending)
        if target in taken and taken[target] != source:
            target = output / name.with_name(
                f"{name.stem}_{name.suffix[1:].lower()}{ending}"
            )
        number = 2
        while target in taken and taken[target] != source:
            target = output / name.with_name(f"{name.stem}_{number}{ending}")
            number += 1
        if target in taken:
            continue  # The same file, named twice.
        taken[target] = source
        plan.append((source, target))
    return plan


def _check_overwriting(plan, output, *, cycle, grid):
    """Refuses a plan that writes over an input, or one result over another.

    Raises:
      UserError: names the file.
    """
    writes = [target for _, target in plan]
    if cycle:
        writes += [_cycle_path(output, target) for target in writes]
    if grid:
        sheets = -(-len(plan) // _ROWS)
        writes += [_sheet_path(output / "grid", number) for number in range(sheets)]
    taken = {source.resolve() for source, _ in plan}
    for path in writes:
        if path.resolve() in taken:
            raise UserError(
                f"{path} would be overwritten; choose another --output folder, or other"
                " names than cycle and grid for folders of pictures."
            )
        taken.add(path.resolve())


def _sheet_path(folder, number):
    return folder / f"sheet_{number:03d}.png"


class _Sheets:
    """Collects pictures and writes them side by side, a few on a sheet."""

    def __init__(self, folder, number):
        self._folder, self._rows, self._number = folder, [], number

    def add(self, source, *pictures):
        del source  # The sheets are in the order of the files.
        self._rows.append([_thumbnail(p) for p in pictures if p is not None])
        if len(self._rows) == _ROWS:
            self.close()

    def close(self):
        if not self._rows:
            return
        titles = ("input", "output", "cycle")
        columns = [np.stack(column) for column in zip(*self._rows, strict=True)]
        sheet = images.sample_grid(dict(zip(titles, columns, strict=False)))
        self._folder.mkdir(parents=True, exist_ok=True)
        files.save_png(_sheet_path(self._folder, self._number), sheet)
        self._rows, self._number = [], self._number + 1


def _thumbnail(pixels):
    """Fits [H, W, C] into a square, on grey."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image = image.convert("RGB")
    scale = _THUMBNAIL / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    square = Image.new("RGB", (_THUMBNAIL, _THUMBNAIL), (200, 200, 200))
    left, top = ((_THUMBNAIL - side) // 2 for side in size)
    square.paste(image.resize(size, Image.Resampling.BICUBIC), (left, top))
    return np.asarray(square)
