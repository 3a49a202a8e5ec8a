"""Makes a perceptual study of runs: images, a page, and the key to its answers."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from etils import epath

from cyclegan_jax import data, files
from cyclegan_jax.errors import UserError
from cyclegan_jax.pages import report
from cyclegan_jax.progress import Progress
from cyclegan_jax.runs.choosing import choose_step
from cyclegan_jax.runs.run import Run
from cyclegan_jax.study.protocol import (
    FAKE,
    SPOILT,
    Pair,
    Protocol,
    page_data,
    plan,
)
from cyclegan_jax.translation.translator import Translator

_AT_ONCE = 8  # Images per update of the progress bar.
_TILES = 8  # Along the shorter side of an obvious fake.


def make(
    workdirs: Sequence[epath.PathLike],
    output: epath.PathLike,
    protocol: Protocol,
    *,
    direction: str = "AtoB",
    step: str = "latest",
    average: bool = True,
    data_path: str = "",
) -> tuple[epath.Path, epath.Path]:
    """Writes a study's folder, and its key beside it.

    Args:
      workdirs: the runs' folders, one per method. They must have the same test
        images, and every method is shown with the same ones.
      output: the folder to create; must not exist, or be empty.
      protocol: of the sessions.
      direction: AtoB or BtoA.
      step: of the checkpoints: a number, latest, or best (see `choose_step`).
      average: use averaged (EMA) parameters where they exist.
      data_path: where the data are, if they have moved.

    Returns:
      The page, and the key, which participants must not see.

    Raises:
      UserError: there is no such run, there are too few test images, or the folder is
        not empty or not writable. Nothing is written then.
    """
    output = files.absolute(files.as_path(output))
    key_path = output.with_name(f"{output.name}-key.json")
    _check_free(output, key_path)
    methods, about, test_names = [], [], None
    for workdir in workdirs:
        number = choose_step(workdir, step)
        run = Run.load(workdir, number, average=average)
        dataset, transform = load_data(run, data_path)
        source, target = _splits(dataset, direction)
        if test_names not in (None, (source.names, target.names)):
            raise UserError(
                f"{workdir} has other test pictures than {workdirs[0]}; a study"
                " compares methods on the same ones (--data_path if they have moved)."
            )
        test_names = source.names, target.names
        translator = Translator(run, direction)
        pairs = _make_pairs(translator, source, target, transform, dataset, protocol)
        methods.append(pairs)
        about.append({"workdir": str(workdir), "step": run.step, "average": average})
    key, pictures = plan(methods, protocol)
    key |= {"direction": direction, "data": dataset.name, "methods": about}
    try:
        _write(output, key_path, key, pictures)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written to ({error.strerror or error})."
        ) from error
    return output / "index.html", key_path


def _check_free(output, key_path):
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is not empty; choose another --output.")
    if key_path.exists():
        raise UserError(
            f"{key_path} is the key of another study, whose answers need it; choose"
            " another --output."
        )


def load_data(run: Run, data_path: str) -> tuple[data.Dataset, Callable]:
    """Opens a run's test images and their preprocessing."""
    dataset = run.dataset(data_path, data.SPLITS[2:])
    return dataset, data.test_transform(run.experiment.preprocess)


def _splits(dataset, direction):
    splits = dataset.test_a, dataset.test_b
    return splits if direction == "AtoB" else splits[::-1]


def _make_pairs(translator, source, target, transform, dataset, protocol):
    """Samples test images, the same for all methods, and translates them."""
    count = protocol.count_pairs(min(len(source), len(target)))
    rng = np.random.default_rng(protocol.seed)
    inputs = rng.permutation(len(source))[:count].tolist()
    reals = rng.permutation(len(target))[:count].tolist()
    if dataset.paired_test:  # The ground truth of the same input.
        reals = inputs
    shown, pairs = translator.pixels_out, []
    given = functools.partial(transform, pixels=translator.pixels_in)
    wanted = functools.partial(transform, pixels=shown)
    with Progress(total=count, desc=translator.run.workdir.name, unit="image") as bar:
        for start in range(0, count, _AT_ONCE):
            some = inputs[start : start + _AT_ONCE]
            stored = [given(source[i], source.names[i]) for i in some]
            fakes = [shown.view(fake) for fake in translator(stored)]
            for i, fake in zip(some, fakes, strict=True):
                j = reals[len(pairs)]
                real = shown.view(wanted(target[j], target.names[j]))
                real, fake = cut(real, fake)
                kind = SPOILT if protocol.is_attention(len(pairs)) else FAKE
                fake = spoil(fake, rng) if kind == SPOILT else fake
                pairs.append(Pair(real, fake, kind, (target.names[j], source.names[i])))
            bar.update(len(some))
    return pairs


def cut(one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """Center-crops two images [H, W, C] to their common size."""
    size = np.minimum(one.shape[:2], other.shape[:2])
    result = []
    for picture in (one, other):
        top, left = (np.array(picture.shape[:2]) - size) // 2
        result.append(picture[top : top + size[0], left : left + size[1]])
    return result


def spoil(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Makes an obvious fake: shuffled tiles, every other one inverted.

    Args:
      picture: uint8 [H, W, C].
      rng: for the order of the tiles.
    """
    side = max(1, min(picture.shape[:2]) // _TILES)
    rows, columns = (length // side for length in picture.shape[:2])
    places = [
        np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row, column in np.ndindex(rows, columns)
    ]
    spoilt = picture.copy()
    for number, other in enumerate(rng.permutation(len(places))):
        tile = picture[places[other]]
        negative = sum(divmod(number, columns)) % 2  # As on a chessboard.
        spoilt[places[number]] = 255 - tile if negative else tile
    return spoilt


def _write(output, key_path, key, pictures):
    """Writes everything; the folder appears only when complete."""
    temporary = output.with_name(f".{output.name}.making")
    if temporary.exists():
        temporary.rmtree()  # Left by a command that was killed.
    (temporary / "pictures").mkdir(parents=True)
    for name in sorted(pictures):  # So that modification times reveal nothing.
        files.save_png(temporary / "pictures" / f"{name}.png", pictures[name])
    report.write_study_page(temporary, page_data(key))
    if output.exists():  # An empty folder.
        output.rmdir()
    files.write_json(key_path, key)
    temporary.rename(output)
