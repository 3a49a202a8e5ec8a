r"""Translates pictures, folders and videos with a run's generator.

    python translate.py --workdir=runs/horse2zebra --output=zebras photos/*.jpg
    python translate.py --workdir=runs/horse2zebra --direction=BtoA --output=out \
        --cycle --grid my_folder film.mp4
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser


def parser(prog: str = "python -m cyclegan_jax.translation") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("files", nargs="*", metavar="INPUT", help="a picture, a folder or a video")
    add("--workdir", required=True, help="the run's folder")
    add(
        "--output",
        required=True,
        help="folder for the translations; with one input, or the file's name",
    )
    add("--direction", default="AtoB", help="AtoB or BtoA")
    add(
        "--step",
        default="latest",
        help="of the checkpoint; or latest, or best, by the run's best_metric",
    )
    flags.add_bool("average", True, "moving averages where they exist")
    add(
        "--size",
        default="keep",
        help="keep: the picture's own; resize: the square of the training, as in the"
        " published results; tile: the picture's own, in pieces that fit into memory",
    )
    add("--tile_size", type=int, default=512, help="side of the pieces in pixels")
    flags.add_bool("cycle", False, "also the way back, in OUTPUT/cycle")
    flags.add_bool("grid", False, "also sheets to compare, in OUTPUT/grid")
    add(
        "--format",
        help="of the pictures: png, jpg, webp, avif, tif, bmp or gif; by default that"
        " of OUTPUT's name, or png. Videos become MP4s",
    )
    add("--quality", type=int, help="of jpg, webp and avif: 1 to 100")
    flags.add_bool(
        "skip_existing", False, "leave out what has a translation that is not older"
    )
    flags.add_hosts()
    return flags


def main(values: argparse.Namespace) -> int:
    """Translates what the arguments name; 1 if something was left out."""
    # After the flags: they are slow.
    from cyclegan_jax.runs import folder as run_folder
    from cyclegan_jax.runs.choosing import choose_step
    from cyclegan_jax.translation import files as translation

    run_folder.prepare(values.workdir)
    return translation.translate(
        values.files,
        values.output,
        workdir=values.workdir,
        direction=values.direction,
        step=choose_step(values.workdir, values.step),
        average=values.average,
        size=values.size,
        tile_size=values.tile_size,
        cycle=values.cycle,
        grid=values.grid,
        image_format=values.format,
        quality=values.quality,
        skip_existing=values.skip_existing,
    )


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
