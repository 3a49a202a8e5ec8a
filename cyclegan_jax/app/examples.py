"""Test images of a run's data as files, for the page to show."""

import pathlib

from cyclegan_jax import files
from cyclegan_jax.directions import domains
from cyclegan_jax.errors import UserError, explain
from cyclegan_jax.runs.run import Run


def write_examples(
    run: Run, folder: pathlib.Path, count: int = 6
) -> tuple[dict[str, list[str]], str]:
    """Writes the first test images of the domains that the run translates.

    Args:
      run: whose data are looked for; nothing is downloaded.
      folder: to write to.
      count: images of each domain.

    Returns:
      Direction -> files, for those that have any; and why there are none, or "".
    """
    examples: dict[str, list[str]] = {}
    try:
        if not _are_here(run):
            raise UserError(f"{run.config.data.dataset} has not been downloaded")
        dataset = run.dataset(splits=("test_a", "test_b"))
        for direction in run.translations:
            domain = domains(direction)[0]
            source = getattr(dataset, f"test_{domain}")
            for index in range(min(count, len(source))):
                file = folder / f"{domain.upper()}_{index}.png"
                files.save_png(file, source[index])
                examples.setdefault(direction, []).append(str(file))
    except (UserError, OSError) as error:
        sentence, _ = explain(error) or (str(error), 2)
        return examples, "" if examples else sentence
    return examples, "" if examples else "the data have no test images"


def _are_here(run):
    """Whether opening the data downloads nothing."""
    data = run.config.data
    if data.path or not data.dataset.startswith("cycle_gan/"):
        return True
    from cyclegan_jax.data import cycle_gan_tfds  # Slow to import.

    return cycle_gan_tfds.is_here(
        data.dataset.removeprefix("cycle_gan/"), data.data_dir
    )
