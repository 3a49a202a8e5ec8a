r"""PyTorch's weights in and out, without PyTorch.

    python -m cyclegan_jax.torch_weights import latest_net_G_A.pth latest_net_G_B.pth \
        --workdir=runs/pretrained --config=configs/horse2zebra.py
    python -m cyclegan_jax.torch_weights import --model=horse2zebra --workdir=runs/h2z
    python -m cyclegan_jax.torch_weights export --workdir=runs/mine --output=weights

Files are told apart by their names (`*net_G_A.pth`, ...); for other names say which
network they are: `g_ab=some.pth`. The authors' D_A judges images of B: it is our `d_b`.
"""

import importlib
import os
import pathlib
import re
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import run as restore
from cyclegan_jax.torch_files.download import check_sha256, download, file_sha256
from cyclegan_jax.torch_weights import published
from cyclegan_jax.torch_weights.runs import THEIR_NAMES, export_weights, import_weights

_OURS = {theirs: ours for ours, theirs in THEIR_NAMES.items()} | {"G": "g_ab"}


def _name_files(arguments: Sequence[str]) -> dict[str, str]:
    """Finds out which file is which network."""
    files = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        file = os.path.expanduser(file)
        if not equals or name not in THEIR_NAMES:
            file = argument
            stem = pathlib.PurePath(argument).name
            match = re.search(r"net_([GD](?:_[AB])?)\.(?:pth|pt|safetensors)$", stem)
            if not match or match[1] not in _OURS:
                raise UserError(
                    f"{argument}: the name does not say which network it is (like"
                    " latest_net_G_A.pth); say so: g_ab=FILE, g_ba=, d_a= or d_b=."
                )
            name = _OURS[match[1]]
        if name in files:
            raise UserError(f"{files[name]} and {file} are both {name}.")
        files[name] = file
    return files


def _flags():
    """Defines the flags of the command only, so that importing this module does not."""
    flags.DEFINE_string("workdir", None, "The run's folder.")
    config_flags.DEFINE_config_file("config", None, "import: settings of the run.")
    flags.DEFINE_string("model", "", "import: a published model instead of files.")
    flags.DEFINE_string("sha256", "", "import: the checksum the file must have.")
    flags.DEFINE_string("output", None, "export: the folder for the files.")
    flags.DEFINE_integer("step", None, "export: of the checkpoint; default the newest.")
    flags.DEFINE_bool("average", True, "export: moving averages where they exist.")


def main(arguments: Sequence[str]) -> int:
    """Runs one of the two commands."""
    values = flags.FLAGS
    command, *rest = arguments or [""]
    cli.check_command(command, _FLAGS)
    if not values.workdir:
        raise UserError("--workdir is missing: the run's folder.")
    if command == "export":
        if rest or not values.output:
            raise UserError("export takes --workdir and --output, and no files.")
        run = restore.load(values.workdir, values.step, average=values.average)
        for path in export_weights(run, values.output):
            print(f"wrote {path}")
        return 0
    config_name = "folder"
    if values.model:
        if rest:
            raise UserError("give files or --model, not both.")
        model = published.find(values.model)
        path = download(model.url)
        files, config_name = {model.generator: path}, model.config
    else:
        files = _name_files(rest)
    if values.sha256 or values.model:
        for path in files.values():
            _check_sum(path, values.sha256)
    if not files:
        raise UserError("name the files to import, or a published one with --model.")
    config = values.config or _read_config(config_name)
    found = import_weights(files, values.workdir, config)
    for name, network in found.items():
        print(f"{name}: {_describe(network)} from {files[name]}")
    print(f"Made {values.workdir}.")
    return 0


_FLAGS = {
    "import": ("config", "model", "sha256"),
    "export": ("output", "step", "average"),
}


def _check_sum(path, expected):
    print(f"{path}: SHA-256 {file_sha256(path)}")
    check_sha256(path, expected)


def _read_config(name) -> ml_collections.ConfigDict:
    name, _, variant = name.partition(":")
    try:
        return importlib.import_module(f"configs.{name}").get_config(variant)
    except ModuleNotFoundError as error:  # Not called from the project's folder.
        raise UserError("--config is missing, such as configs/folder.py.") from error


def _describe(network):
    settings = dict(network.settings)
    name = settings.pop("name")
    rest = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{name} ({rest}; {network.channels_in} to {network.channels_out} channels)"


if __name__ == "__main__":
    _flags()
    cli.run(main, positional=True)
