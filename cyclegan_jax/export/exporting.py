"""A generator in evaluation mode as one StableHLO or ONNX file."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Generator:
    """A run's generator in evaluation mode, ready to be written.

    Attributes:
      module: the network.
      variables: what its `apply` takes, on the host.
      channels: of the input.
      direction: AtoB or BtoA.
      step: of the checkpoint.
    """

    module: nn.Module
    variables: dict[str, Any]
    channels: int
    direction: str
    step: int

    @classmethod
    def of(cls, run: Run, direction: str) -> "Generator":
        """Takes one generator of a run.

        Raises:
          UserError: there is no such generator, or its weights are not finite.
        """
        name = run.generator(direction)
        variables = jax.device_get(run.variables[name])
        if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(variables)):
            raise UserError(
                f"the generator's weights at step {run.step} are not finite: its"
                " training went wrong; choose an earlier checkpoint with --step."
            )
        channels = run.config.data[f"channels_{domains(direction)[0]}"]
        return cls(run.method.modules[name], variables, channels, direction, run.step)

    @property
    def contract(self) -> str:
        """What it takes and returns, for people."""
        return (
            f"float32 [B, H, W, {self.channels}] to [B, H, W, {self.module.channels}],"
            f" in [-1, 1]; H and W multiples of {self.module.size_multiple}, from"
            f" {least_size(self.module)} on"
        )

    def stablehlo(self) -> bytes:
        """Writes it as `stablehlo` does."""
        return stablehlo(self.module, self.variables, self.channels)

    def onnx(self) -> bytes:
        """Writes it as `onnx_graph.build` does.

        Raises:
          UserError: there is no ONNX form of this network, or no package for it.
        """
        check_onnx()
        from cyclegan_jax.export import onnx_graph

        about = {
            "direction": self.direction,
            "step": str(self.step),
            "contract": self.contract,
        }
        model = onnx_graph.build(self.module, self.variables, self.channels, about)
        return bytes(model.SerializeToString())


def check_onnx() -> None:
    """Raises a `UserError` where the package that writes ONNX is missing."""
    if importlib.util.find_spec("onnx") is None:
        raise UserError("writing ONNX needs a package: pip install 'onnx>=1.23,<2'")


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
            " .onnx, or in / for the folder of a web page."
        )
    if output.suffix == ".onnx":
        check_onnx()
    run = Run.load(workdir, step, average=average)
    generator = Generator.of(run, direction)
    content = generator.onnx() if output.suffix == ".onnx" else generator.stablehlo()
    write(output, content)
    return f"Wrote {output} ({len(content) / 1e6:.1f} MB): {generator.contract}."


def write(output: epath.Path, content: bytes) -> None:
    """Writes a file in one go.

    Raises:
      UserError: it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write(output, content)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output} cannot be written ({reason}).") from error
