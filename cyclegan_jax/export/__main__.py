r"""Exports a run's generator as one file that does not need this library.

    python -m cyclegan_jax.export --workdir=runs/horse2zebra --output=zebra.stablehlo
    python -m cyclegan_jax.export --workdir=runs/horse2zebra --direction=BtoA \
        --output=horse.onnx

`.stablehlo` is for JAX (`jax.export`), `.onnx` for other runtimes; docs/export.md
shows how to load them. Input and output are float32 [B, H, W, C] in [-1, 1].
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser
from cyclegan_jax.export.exporting import export
from cyclegan_jax.runs.choosing import choose_step


def parser(prog: str = "python -m cyclegan_jax.export") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("--workdir", required=True, help="the run's folder")
    add("--output", required=True, help="the file: NAME.stablehlo or NAME.onnx")
    add("--direction", default="AtoB", help="AtoB or BtoA")
    add("--step", default="latest", help="of the checkpoint; or latest, or best")
    flags.add_bool("average", True, "use averaged (EMA) weights where they exist")
    return flags


def main(values: argparse.Namespace) -> int:
    """Writes the file and prints its inputs and outputs."""
    summary = export(
        values.workdir,
        values.output,
        values.direction,
        step=choose_step(values.workdir, values.step),
        average=values.average,
    )
    print(summary)
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
