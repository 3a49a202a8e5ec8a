r"""Turns train_opt.txt of the authors' PyTorch code into a config.

    python -m cyclegan_jax.from_pytorch checkpoints/maps_cyclegan/train_opt.txt \
        --output=maps.py
    python train.py --config=maps.py

What has no equivalent is printed, and noted in the config. To bring the weights, too:
`python -m cyclegan_jax.torch_weights import`. docs/from_pytorch.md has all options.
"""

import argparse
import re

from cyclegan_jax import cli, files
from cyclegan_jax.cli.arguments import Parser, read_config
from cyclegan_jax.errors import UserError
from cyclegan_jax.from_pytorch import converting, reading

_CONFIG = '''\
"""Converted from {file} of the PyTorch code.

    python train.py --config={output} --workdir=runs/{name}
"""

import ml_collections

from cyclegan_jax.runs import configuration, variants


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the converted settings, or the tiny ones for `variant="smoke"`."""
    config = configuration.defaults()
{settings}
    return variants.variant_of(config, variant)
'''


def parser(prog: str = "python -m cyclegan_jax.from_pytorch") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("files", nargs="*", metavar="FILE", help="train_opt.txt, or its folder")
    add("--output", help="the config file; else <name of the experiment>.py")
    return flags


def main(values: argparse.Namespace) -> int:
    """Writes the config, and prints what has no equivalent."""
    if len(values.files) != 1:
        raise UserError("name one file, the train_opt.txt of a training.")
    path = reading.find(values.files[0])
    given, unknown = reading.read(path)
    name = re.sub(r"[^\w.-]", "_", str(given.get("name") or path.parent.name))
    output = files.as_path(values.output or f"{name}.py")
    if output.suffix != ".py":
        raise UserError(f"--output is {output}; a config is called NAME.py.")
    if output.exists():
        raise UserError(f"{output} exists; name another file with --output.")
    converted = converting.convert(given, unknown)
    lines = [f"config.{k} = {v!r}" for k, v in converted.settings.items()]
    notes = [f"{k} {' '.join(v.split())}" for k, v in converted.notes.items()]
    lines += [f"# {note}." for note in notes]
    content = _CONFIG.format(
        file=path.name,
        name=name,
        output=output.name,
        settings="\n".join(f"    {line}" for line in lines),
    )
    files.write(output, content)
    read_config(str(output))
    for note in notes:
        print(f"Note: {note}.")
    print(f"Wrote {output}. Now: python train.py --config={output}")
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
