"""A generator in evaluation mode as one StableHLO or ONNX file."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn
from jax import export as jax_export

from cyclegan_jax import files
from cyclegan_jax.directions import domains
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.run import Run

PLATFORMS = ("cpu", "cuda", "tpu")
SUFFIXES = (".stablehlo", ".onnx")


def stablehlo(
    module: nn.Module,
    variables: Mapping[str, Any],
    channels: int,
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Writes a generator in evaluation mode, weights included, as `jax.export` does.

    It contains a separate form of the convolutions for each platform.

    Args:
      module: a generator.
      variables: what its `apply` takes.
      channels: of the input.
      platforms: on which the program can run.

    Returns:
      What `jax.export.deserialize` takes: a function from float32 [B, H, W, channels]
      to float32 [B, H, W, C], both in [-1, 1], for any B and all sizes that are
      multiples of `module.size_multiple` (and at least `least_size(module)`).
    """
    multiple = module.size_multiple
    least = least_size(module) // multiple
    shape = jax_export.symbolic_shape(
        f"batch, {multiple}*rows, {multiple}*columns, {channels}",
        constraints=[f"rows >= {least}", f"columns >= {least}"],
    )
    weights = jax.device_get(variables)  # Constants of the program, on no device.

    def translate(images):
        return module.apply(weights, images)

    exported = jax_export.export(jax.jit(translate), platforms=platforms)
    return bytes(exported(jax.ShapeDtypeStruct(shape, jnp.float32)).serialize())


def least_size(module: nn.Module) -> int:
    """The smallest height and width in pixels that an exported generator takes."""
    # Reflection padding by one pixel needs two pixels at the lowest resolution.
    return module.size_multiple * (2 if getattr(module, "reflect", False) else 1)


def export(
    workdir: epath.PathLike,
    output: epath.PathLike,
    direction: str = "AtoB",
    *,
    step: int | None = None,
    average: bool = True,
) -> str:
    """Writes one generator of a run to a separate file.

    Args:
      workdir: the run's folder.
      output: the file; `.stablehlo` or `.onnx` decides what it becomes. Replaced if
        it exists.
      direction: AtoB or BtoA.
      step: of a checkpoint; None for the newest.
      average: use averaged (EMA) parameters where they exist.

    Returns:
      One sentence about what was written.

    Raises:
      UserError: there is no such run, checkpoint or generator; its weights are not
        finite; it cannot be written in this format, or not to this place; or a
        package is missing.
    """
    output = files.as_path(output)
    if output.suffix not in SUFFIXES:
        raise UserError(
            f"--output is {str(output)!r}; it must end in .stablehlo (for JAX) or"
            " .onnx."
        )
    if output.suffix == ".onnx" and importlib.util.find_spec("onnx") is None:
        raise UserError("writing ONNX needs a package: pip install 'onnx>=1.23,<2'")
    run = Run.load(workdir, step, average=average)
    name = run.generator(direction)
    module = run.method.modules[name]
    variables = jax.device_get(run.variables[name])
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(variables)):
        raise UserError(
            f"the generator's weights at step {run.step} are not finite: its training"
            " went wrong; choose an earlier checkpoint with --step."
        )
    given, made = (run.experiment.pixels[d] for d in domains(direction))
    channels = given.channels
    contract = (
        f"float32 [B, H, W, {channels}] to [B, H, W, {module.channels}], in [-1, 1];"
        f" H and W multiples of {module.size_multiple}, from {least_size(module)} on"
    )
    if given.measured or made.measured:
        contract += (
            f"; -1 and 1 stand for the limits of {given.describe()} in images, of"
            f" {made.describe()} in translations"
        )
    if output.suffix == ".onnx":
        from cyclegan_jax.export import onnx_graph

        about = {"direction": direction, "step": str(run.step), "contract": contract}
        model = onnx_graph.build(module, variables, channels, about)
        content = model.SerializeToString()
    else:
        content = stablehlo(module, variables, channels)
    _write(output, content)
    return f"Wrote {output} ({len(content) / 1e6:.1f} MB): {contract}."


def _write(output, content):
    """Writes atomically."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write(output, content)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output} cannot be written ({reason}).") from error
