r"""PyTorch's weights in and out, without PyTorch.

    python -m cyclegan_jax.torch_weights import latest_net_G_A.pth latest_net_G_B.pth \
        --workdir=runs/pretrained --config=configs/horse2zebra.py
    python -m cyclegan_jax.torch_weights import --model=horse2zebra --workdir=runs/h2z
    python -m cyclegan_jax.torch_weights export --workdir=runs/mine --output=weights

Files are told apart by their names (`*net_G_A.pth`, ...); for other names say which
network they are: `g_ab=some.pth`. The authors' D_A judges images of B: it is our `d_b`.
"""

import argparse
import importlib.util
import os
import pathlib
import re
from collections.abc import Sequence

import ml_collections

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser, read_config
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.run import Run
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


def parser() -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog="python -m cyclegan_jax.torch_weights", description=__doc__)
    commands = flags.add_subparsers(dest="command", required=True)
    bring_in = commands.add_parser("import", help="makes a run of files of weights")
    add = bring_in.add_argument
    add("files", nargs="*", metavar="FILE", help="of weights; or NETWORK=FILE")
    add("--workdir", required=True, help="the run's folder; it is made")
    bring_in.add_config("settings of the run; else configs/folder.py")
    add("--model", default="", help="a published model instead of files")
    add("--sha256", default="", help="the checksum the file must have")
    export = commands.add_parser("export", help="writes a run's networks as files")
    add = export.add_argument
    add("--workdir", required=True, help="the run's folder")
    add("--output", required=True, help="the folder for the files")
    add("--step", type=int, help="of the checkpoint; default the newest")
    export.add_bool("average", True, "moving averages where they exist")
    return flags


def main(values: argparse.Namespace) -> int:
    """Runs one of the two commands."""
    if values.command == "export":
        run = Run.load(values.workdir, values.step, average=values.average)
        for path in export_weights(run, values.output):
            print(f"wrote {path}")
        return 0
    config_name = "folder"
    if values.model:
        if values.files:
            raise UserError("give files or --model, not both.")
        model = published.find(values.model)
        path = download(model.url)
        files, config_name = {model.generator: path}, model.config
    else:
        files = _name_files(values.files)
    if values.sha256 or values.model:
        for path in files.values():
            _check_sum(path, values.sha256)
    if not files:
        raise UserError("name the files to import, or a published one with --model.")
    config = values.config or _read_config(config_name, values.overrides)
    found = import_weights(files, values.workdir, config)
    for name, network in found.items():
        print(f"{name}: {_describe(network)} from {files[name]}")
    print(f"Made {values.workdir}.")
    return 0


def _check_sum(path, expected):
    print(f"{path}: SHA-256 {file_sha256(path)}")
    check_sha256(path, expected)


def _read_config(name, overrides=()) -> ml_collections.ConfigDict:
    name, colon, variant = name.partition(":")
    spec = importlib.util.find_spec(f"configs.{name}")
    if spec is None:  # Not called from the project's folder.
        raise UserError("--config is missing, such as configs/folder.py.")
    return read_config(f"{spec.origin}{colon}{variant}", overrides)


def _describe(network):
    settings = dict(network.settings)
    name = settings.pop("name")
    rest = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{name} ({rest}; {network.channels_in} to {network.channels_out} channels)"


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
