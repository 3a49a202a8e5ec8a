r"""Lists the configs that come with the package, or describes some of them.

python -m cyclegan_jax configs
python -m cyclegan_jax configs horse2zebra pix2pix
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli import config_files
from cyclegan_jax.cli.arguments import Parser


def parser(prog: str = "python -m cyclegan_jax.list_configs") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    flags.add_argument("files", nargs="*", metavar="NAME", help="of a config")
    return flags


def main(values: argparse.Namespace) -> int:
    """Prints a line for each config, or all about those that are named."""
    if values.files:
        for name in values.files:
            path = config_files.shipped(name.removesuffix(".py"))
            print(f"{path}\n\n{config_files.describe(path)}\n")
        return 0
    for name in config_files.names():
        line = config_files.describe(config_files.shipped(name)).partition("\n")[0]
        print(f"{name:22s} {line}")
    print("\nTo train one: --config=NAME, or --config=NAME:smoke to try it in seconds.")
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
