r"""Writes a run's generator as one file that needs nothing of this library.

    python -m cyclegan_jax.export --workdir=runs/horse2zebra --output=zebra.stablehlo
    python -m cyclegan_jax.export --workdir=runs/horse2zebra --direction=BtoA \
        --output=horse.onnx

`.stablehlo` is for JAX (`jax.export`), `.onnx` for everything else; docs/export.md
shows how each is loaded. Both map float32 [B, H, W, C] in [-1, 1] to the same.
"""

from absl import flags

from cyclegan_jax import cli, evaluation
from cyclegan_jax.export.exporting import export


def _flags():
    """Defines the flags of the command only, so that importing this module does not."""
    flags.DEFINE_string("workdir", None, "The run's folder.")
    flags.DEFINE_string("output", None, "The file: NAME.stablehlo or NAME.onnx.")
    flags.DEFINE_string("direction", "AtoB", "AtoB or BtoA.")
    flags.DEFINE_string("step", "latest", "Of the checkpoint; or latest, or best.")
    flags.DEFINE_bool("average", True, "Moving averages where they exist.")


def main() -> int:
    """Writes the file and says what it takes."""
    values = flags.FLAGS
    said = export(
        values.workdir,
        values.output,
        values.direction,
        step=evaluation.choose_step(values.workdir, values.step),
        average=values.average,
    )
    print(said)
    return 0


if __name__ == "__main__":
    _flags()
    cli.run(main, required=("workdir", "output"))
