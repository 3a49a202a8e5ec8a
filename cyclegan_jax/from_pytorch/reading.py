"""Reads the files of options that the PyTorch code writes, of all its versions."""

import re
from typing import Any

from etils import epath

from cyclegan_jax.cli.pytorch_options import OPTIONS, RENAMED
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

_NAMES = ("train_opt.txt", "opt.txt")  # The second one before 2019.
_LINE = re.compile(r"\s*(\w+): ?(.*?)\s*(?:\[default: .*\]\s*)?")
_BOOLS = {"True": True, "False": False}


def find(path: epath.PathLike) -> epath.Path:
    """Returns the file of options: the path itself, or that in the folder of a run.

    Raises:
      UserError: there is none.
    """
    path = as_path(path)
    if path.is_dir():
        inside = [path / name for name in _NAMES if (path / name).is_file()]
        if not inside:
            raise UserError(f"{path} has no {_NAMES[0]}; name the file.")
        return inside[0]
    if not path.is_file():
        raise UserError(f"there is no {path}; name the {_NAMES[0]} of a training.")
    return path


def read(path: epath.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads a file of options.

    Args:
      path: of the file.

    Returns:
      Values of the options of `OPTIONS` by their names today, and the texts of those
      that are not known.

    Raises:
      UserError: it cannot be read, has no options, or has a value of the wrong type.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error
    values, unknown = {}, {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue  # The frame around the options.
        written, value = match.groups()
        name = RENAMED.get(written, written)
        if written == "no_lsgan":
            values[name] = "vanilla" if value == "True" else "lsgan"
        elif name in OPTIONS:
            values[name] = _parse(path, written, value, OPTIONS[name].default)
        else:
            unknown[written] = value
    if not values.keys() & {"model", "netG"}:
        raise UserError(
            f"{path} holds no options of a training of the PyTorch code, such as model."
        )
    if "niter" in text and "n_epochs:" not in text:
        values["version"] = "before 2020"
    else:
        values["version"] = "2020 to 2025" if "gpu_ids" in values else "2025"
    return values, unknown


def _parse(path, name, text, default):
    kind = type(default)
    try:
        if kind is bool:
            return _BOOLS[text]
        return kind(text) if kind in (int, float) else text
    except (KeyError, ValueError):
        raise UserError(f"{path}: {name} is {text!r}, not a {kind.__name__}.") from None
