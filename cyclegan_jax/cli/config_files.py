"""The config files: those that come with the package, by name, and users' own."""

import ast
import importlib.util
import os
import pathlib
from types import ModuleType

from cyclegan_jax import files
from cyclegan_jax.errors import UserError, did_you_mean

_PACKAGE = pathlib.Path(__file__).parent.parent
_LIST = "`python -m cyclegan_jax configs` lists those that there are."


def folder() -> pathlib.Path:
    """The folder of the configs: in a clone configs/, or part of the package."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def names() -> list[str]:
    """The names of the configs that come with the package."""
    return sorted(p.stem for p in folder().glob("*.py") if p.stem[0] != "_")


def shipped(name: str) -> pathlib.Path:
    """The file of a config that comes with the package.

    Raises:
      UserError: there is none of that name; says which is nearest.
    """
    if name not in names():
        hint = did_you_mean(name, names()) or f"; {_LIST}"
        raise UserError(f"there is no config {name!r}{hint}")
    return folder() / f"{name}.py"


def locate(config: str) -> str:
    """Returns `FILE.py[:VARIANT]` for what `--config` was given.

    Args:
      config: the same, or the name of a config that comes with the package, such as
        `pix2pix:facades`. `configs/NAME.py` means that one, too, in any folder that has
        no such file.

    Raises:
      UserError: there is no such config; says which is nearest.
    """
    text, colon, variant = config.partition(":")
    if not text:
        raise UserError("--config is empty; name a config, such as horse2zebra.")
    path = files.as_path(text)
    if not path.is_file():
        parent, name = os.path.split(text)
        stem = name.removesuffix(".py")
        bare = not parent and name == stem
        if bare or (parent in ("", "configs") and stem in names()):
            path = shipped(stem)
        else:
            raise _no_file(path, stem)
    return f"{path}{colon}{variant}"


def _no_file(path, stem):
    here = [str(file) for file in path.parent.glob("*.py")]
    if stem in names():
        hint = f"; --config={stem} is the one that comes with the package"
    else:
        hint = did_you_mean(str(path), here) or did_you_mean(stem, names(), "--config=")
    return UserError(f"{path}: No such file or directory{hint or f'; {_LIST}'}")


def load(path: os.PathLike) -> ModuleType:
    """Imports a config file."""
    path = pathlib.Path(path)
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def describe(path: pathlib.Path) -> str:
    """Returns the docstring of a config file, without running it."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""
