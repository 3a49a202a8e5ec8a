r"""Translates pictures, folders and videos with a run's generator.

    python translate.py --workdir=runs/horse2zebra --output=zebras photos/*.jpg
    python translate.py --workdir=runs/horse2zebra --direction=BtoA --output=out \
        --cycle --grid my_folder film.mp4
"""

from collections.abc import Sequence

from absl import flags

from cyclegan_jax import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the translations; with one input, or the file's name."
)
_DIRECTION = flags.DEFINE_string("direction", "AtoB", "AtoB or BtoA.")
_STEP = flags.DEFINE_string(
    "step", "latest", "Of the checkpoint; or latest, or best, by the run's best_metric."
)
_AVERAGE = flags.DEFINE_bool("average", True, "Moving averages where they exist.")
_SIZE = flags.DEFINE_string(
    "size",
    "keep",
    "keep: the picture's own; resize: the square of the training, as in the published"
    " results; tile: the picture's own, in pieces that fit into memory.",
)
_TILE = flags.DEFINE_integer("tile_size", 512, "Side of the pieces in pixels.")
_CYCLE = flags.DEFINE_bool("cycle", False, "Also the way back, in OUTPUT/cycle.")
_GRID = flags.DEFINE_bool("grid", False, "Also sheets to compare, in OUTPUT/grid.")
_FORMAT = flags.DEFINE_string(
    "format",
    None,
    "Of the pictures: png, jpg, webp, avif, tif, bmp or gif; by default that of"
    " OUTPUT's name, or png. Videos become MP4s.",
)
_QUALITY = flags.DEFINE_integer("quality", None, "Of jpg, webp and avif: 1 to 100.")
_SKIP = flags.DEFINE_bool(
    "skip_existing", False, "Leave out what has a translation that is not older."
)


def main(inputs: Sequence[str]) -> int:
    """Translates what the arguments name; 1 if something was left out."""
    # After the flags: they are slow.
    from cyclegan_jax.runs import folder as run_folder
    from cyclegan_jax.runs.choosing import choose_step
    from cyclegan_jax.translation import files as translation

    run_folder.prepare(_WORKDIR.value)
    return translation.translate(
        inputs,
        _OUTPUT.value,
        workdir=_WORKDIR.value,
        direction=_DIRECTION.value,
        step=choose_step(_WORKDIR.value, _STEP.value),
        average=_AVERAGE.value,
        size=_SIZE.value,
        tile_size=_TILE.value,
        cycle=_CYCLE.value,
        grid=_GRID.value,
        image_format=_FORMAT.value,
        quality=_QUALITY.value,
        skip_existing=_SKIP.value,
    )


if __name__ == "__main__":
    cli.run(main, required=("workdir", "output"), positional=True, several_hosts=True)
