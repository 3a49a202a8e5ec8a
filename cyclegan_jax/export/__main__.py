r"""Exports a run's generators as files that do not need this library.

    python -m cyclegan_jax.export --workdir=runs/horse2zebra --output=zebra.stablehlo
    python -m cyclegan_jax.export --workdir=runs/horse2zebra --direction=BtoA \
        --output=horse.onnx
    python -m cyclegan_jax.export --workdir=runs/horse2zebra --output=page/

`.stablehlo` is for JAX (`jax.export`), `.onnx` for other runtimes; docs/export.md
shows how to load them. Input and output are float32 [B, H, W, C] in [-1, 1]. A folder
becomes a web page that translates pictures in the visitor's browser.
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser
from cyclegan_jax.errors import UserError
from cyclegan_jax.export.exporting import export
from cyclegan_jax.export.page import is_page, write_page
from cyclegan_jax.runs.choosing import choose_step


def parser(prog: str = "python -m cyclegan_jax.export") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("--workdir", required=True, help="the run's folder")
    add(
        "--output",
        required=True,
        help="NAME.stablehlo, NAME.onnx, or FOLDER/ for a page",
    )
    add(
        "--direction",
        default="",
        help="AtoB or BtoA; by default AtoB, and in a page all that the run has",
    )
    add("--step", default="latest", help="of the checkpoint; or latest, or best")
    flags.add_bool("average", True, "use averaged (EMA) weights where they exist")
    add(
        "--onnxruntime_web",
        default="",
        metavar="PACKAGE",
        help="for a page: npm's package of that name, a .tgz file or a folder; by"
        " default npm fetches it, once",
    )
    return flags


def main(values: argparse.Namespace) -> int:
    """Writes the file or the page, and prints its inputs and outputs."""
    page = is_page(values.output)
    if values.onnxruntime_web and not page:
        raise UserError("--onnxruntime_web goes with a page: --output=FOLDER/.")
    step = choose_step(values.workdir, values.step)
    options = {"step": step, "average": values.average}
    if page:
        summary = write_page(
            values.workdir,
            values.output,
            values.direction,
            **options,
            onnxruntime_web=values.onnxruntime_web,
        )
    else:
        direction = values.direction or "AtoB"
        summary = export(values.workdir, values.output, direction, **options)
    print(summary)
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
