"""Which images of a source can be used, and which belong together."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from tqdm import tqdm

from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.sources import ImageSource

# What follows the name of a scene: the CycleGAN authors' endings, and Cityscapes'.
_ENDINGS = (("_A", "_leftImg8bit"), ("_B", "_gtFine_color"))


def same_scenes(a: ImageSource, b: ImageSource) -> bool:
    """Whether files are named in pairs, like 12_A.jpg and 12_B.jpg, or 12 and 12."""

    def scenes(source: ImageSource, endings: tuple[str, ...]) -> list[str]:
        found = []
        for name in source.names:
            stem = PurePosixPath(name).stem
            ending = next(filter(stem.endswith, endings), "")
            found.append(stem.removesuffix(ending))
        return found

    first, second = _ENDINGS
    return scenes(a, first) == scenes(b, second)


def readable(source: ImageSource, split: str, quiet: bool) -> list[int]:
    """Decodes every image once; returns the indices of those that can be decoded."""

    def problem(index: int) -> UnreadableImage | None:
        try:
            source[index]
        except UnreadableImage as error:
            return error
        return None

    kept = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = pool.map(problem, range(len(source)))
        bar = tqdm(problems, f"checking {split}", len(source), disable=quiet)
        for index, error in enumerate(bar):
            if error is None:
                kept.append(index)
            else:
                what = str(error).partition("): ")[0]  # Not what to do about it.
                tqdm.write(f"left out: {what})", file=sys.stderr)
    return kept
