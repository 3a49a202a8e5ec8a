"""A folder for any static host whose page translates pictures in the browser."""

import os

from etils import epath

from cyclegan_jax import files
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.export import runtime_web
from cyclegan_jax.export.exporting import Generator, check_onnx, least_size, write
from cyclegan_jax.pages import translator
from cyclegan_jax.runs.run import Run

# Of WebAssembly's 4 GB, and per pixel where memory is tightest: the last transposed
# convolution's input, unrolled input and output, in multiples of the first layer.
_MEMORY, _LAYERS = 2_500_000_000, 3.75
_CHANNELS = (1, 3)  # What a browser's canvas can be given, and asked for.


def is_page(output: str) -> bool:
    """Whether --output names a folder, and not a file: it ends in /, or is one."""
    return output.endswith(("/", os.sep)) or files.as_path(output).is_dir()


def write_page(
    workdir: epath.PathLike,
    output: epath.PathLike,
    direction: str = "",
    *,
    step: int | None = None,
    average: bool = True,
    onnxruntime_web: str = "",
) -> str:
    """Writes a page, the generators as ONNX, and what runs them, into a folder.

    Args:
      workdir: the run's folder.
      output: the folder; a page that was written before is replaced.
      direction: AtoB or BtoA; "" for all that the run has a generator for.
      step: of a checkpoint; None for the newest.
      average: use averaged (EMA) parameters where they exist.
      onnxruntime_web: see `runtime_web.load`.

    Returns:
      Two sentences about what was written.

    Raises:
      UserError: as `exporting.export`; or the folder has other files, the run has
        pictures of other channels than a page can show, or there is no ONNX Runtime
        for browsers.
    """
    check_onnx()
    output = files.as_path(output)
    run = Run.load(workdir, step, average=average)
    run.check_pictures("a page")
    known = [d for d, t in run.translations.items() if t.generator is not None]
    chosen = [direction] if direction else known or ["AtoB"]  # Whose error is clear.
    generators = [Generator.of(run, name) for name in chosen]
    models = {_file(one): one.onnx() for one in generators}
    described = [_describe(one, len(models[_file(one)])) for one in generators]
    _check_folder(output)
    contents = models | runtime_web.load(onnxruntime_web)
    contents |= translator.render(
        title=files.absolute(workdir).name,
        summary={"method": run.config.method, "step": f"{run.step:,}"},
        models=described,
        side=run.config.data.crop_size,
        runtime=runtime_web.VERSION,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{output} cannot be written ({reason}).") from error
    for name, content in contents.items():  # The page that needs the others is last.
        write(output / name, content)
    size = sum(map(len, contents.values())) / 1e6
    return (
        f"Wrote {output}/ ({size:.1f} MB): a page that translates"
        f" {' and '.join(chosen)} in the browser, for any static host. To try it:"
        f" python -m http.server -d {output}"
    )


def _file(generator):
    return f"{generator.direction}.onnx"


def _describe(generator, size):
    """What the page has to know about a model."""
    module = generator.module
    if {generator.channels, module.channels} - set(_CHANNELS):
        raise UserError(
            f"a page translates grey and colour pictures; {generator.direction} goes"
            f" from {generator.channels} channels to {module.channels}: export .onnx."
        )
    return {
        "direction": generator.direction,
        "file": _file(generator),
        "bytes": size,
        "channels": [generator.channels, module.channels],
        "multiple": module.size_multiple,
        "least": least_size(module),
        "most": int(_MEMORY / (_LAYERS * 4 * module.width)),
    }


def _check_folder(output):
    """Refuses a folder with other files, such as a run, whose index.html would go."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{output} is a file; a page needs a folder.")
    ours = {*runtime_web.FILES, *translator.FILES, *(f"{d}.onnx" for d in DIRECTIONS)}
    names = {path.name for path in output.iterdir()}
    others = sorted(name for name in names - ours if not name.startswith("."))
    if others:
        raise UserError(
            f"{output} has other files, such as {others[0]}; name a new or an empty"
            " folder for the page."
        )
