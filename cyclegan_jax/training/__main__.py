r"""Trains CycleGAN or another method; run it again with the same flags to resume.

    python train.py --config=horse2zebra
    python train.py --config=configs/streets.py --workdir=runs/mine \
        --config.seed=1 --config.loss.identity=0
    python train.py --reproduce=runs/mine/run.json
"""

import argparse
import pathlib

from etils import epath

from cyclegan_jax import cli, files
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError


def parser(prog: str = "python -m cyclegan_jax.training") -> arguments.Parser:
    """Returns the parser of the command's flags."""
    flags = arguments.Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    flags.add_config(
        "settings: horse2zebra, pix2pix:facades, ... (`python -m cyclegan_jax configs`"
        " lists them), or a file of yours; --config.SETTING=VALUE changes one"
    )
    add("--workdir", help="the run's folder; else runs/<the config's name>[-<variant>]")
    add(
        "--reproduce",
        metavar="RUN.JSON",
        help="instead of --config: run.json of a run that is to be done again, in"
        " another folder, <that run's>-again by default",
    )
    flags.add_bool(
        "allow_changes",
        False,
        "resume a run with other settings than it began with, such as a learning rate"
        " or more epochs; run.json records them",
    )
    add(
        "--devices",
        type=arguments.at_least(0),
        default=0,
        help="use only so many of this machine's devices (0: all)",
    )
    flags.add_hosts()
    return flags


def main(values: argparse.Namespace) -> int:
    """Trains the run that the flags describe."""
    from cyclegan_jax.runs import storage  # After the flags: JAX takes seconds.
    from cyclegan_jax.training import loop

    if values.reproduce:
        return _reproduce(values)
    if values.config is None:
        raise UserError(
            "--config is missing, such as --config=horse2zebra; see train.py --help."
        )
    path, _, variant = values.config_file.partition(":")
    name = "-".join(filter(None, (pathlib.Path(path).stem, variant)))
    workdir = storage.locate(values.workdir or f"runs/{name}")
    options = {"allow_changes": values.allow_changes, "devices": values.devices}
    return loop.train(values.config, workdir, **options)


def _reproduce(values):
    """Prints what is different now, and does the run again."""
    from cyclegan_jax.runs import storage
    from cyclegan_jax.training import reproduce

    if values.config is not None or values.overrides:
        raise UserError("--reproduce takes the config of that run; leave out --config.")
    if values.devices or values.allow_changes:
        raise UserError(
            "--reproduce does all that the run did, on all devices; leave out --devices"
            " and --allow_changes."
        )
    path: epath.Path = files.absolute(files.as_path(values.reproduce))
    again = path.parent.with_name(f"{path.parent.name}-again")
    workdir = storage.locate(values.workdir) if values.workdir else again
    return reproduce.reproduce(path, workdir)


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
