r"""Imports and exports PyTorch weights, without PyTorch.

    python -m cyclegan_jax.torch_weights import latest_net_G_A.pth latest_net_G_B.pth \
        --workdir=runs/pretrained --config=configs/horse2zebra.py
    python -m cyclegan_jax.torch_weights import --model=horse2zebra --workdir=runs/h2z
    python -m cyclegan_jax.torch_weights export --workdir=runs/mine --output=weights

The architecture is recognised by the order and shapes of the tensors, the role by names
(`*net_G_A.pth`, `netG_A` in a checkpoint, ...). If these are ambiguous, name it:
`g_ab=some.pth`, or `g_ab=some.ckpt:genX` if the file has several networks. The authors'
D_A discriminates images of B: it is our `d_b`.
"""

import argparse
from collections.abc import Mapping

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser, read_config
from cyclegan_jax.errors import UserError

_ONE_WAY = ("pix2pix", "cut", "simgan", "feature_gan")
_NORMS = ("instance", "instance_affine", "batch", "none")


def parser(prog: str = "python -m cyclegan_jax.torch_weights") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    commands = flags.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import", help="creates a run from weight files")
    add = importing.add_argument
    add(
        "files",
        nargs="*",
        metavar="FILE",
        help="weights; or NETWORK=FILE or NETWORK=FILE:WHERE",
    )
    add("--workdir", required=True, help="the run's folder, which is created")
    importing.add_config("settings of the run; default configs/folder.py")
    add("--model", default="", help="a published model instead of files")
    add("--sha256", default="", help="the checksum the file must have")
    add("--norm", default="", choices=_NORMS, help="if the weights fit several norms")
    export = commands.add_parser("export", help="writes a run's networks as files")
    add = export.add_argument
    add("--workdir", required=True, help="the run's folder")
    add("--output", required=True, help="the folder for the files")
    add("--step", type=int, help="of the checkpoint; default the newest")
    export.add_bool("average", True, "moving averages where they exist")
    return flags


def main(values: argparse.Namespace) -> int:
    """Runs one of the two commands."""
    return _export(values) if values.command == "export" else _import(values)


def _export(values):
    from cyclegan_jax.runs.run import Run  # After the flags: JAX takes seconds.
    from cyclegan_jax.torch_weights.runs import export_weights

    run = Run.load(values.workdir, values.step, average=values.average)
    for path in export_weights(run, values.output):
        print(f"wrote {path}")
    return 0


def _import(values):
    from cyclegan_jax.torch_weights import choosing, published
    from cyclegan_jax.torch_weights.runs import import_networks

    config_name = ""
    if values.model:
        if values.files:
            raise UserError("give files or --model, not both.")
        model = published.find(values.model)
        sources = [choosing.Source(_download(model.url), model.generator)]
        config_name = model.config
    else:
        sources = [choosing.Source.parse(argument) for argument in values.files]
    if values.sha256 or values.model:
        for source in sources:
            _check_sum(source.file, values.sha256)
    if not sources:
        raise UserError("name the files to import, or a published one with --model.")
    choice = choosing.choose(sources, values.norm)
    config, notes = values.config, []
    if not config:
        guessed, notes = _guess_config(choice.networks)
        config = read_config(config_name or guessed, values.overrides)
        notes = [] if config_name else notes
    _assign_only_discriminator(choice, config)
    import_networks(choice.networks, values.workdir, config)
    for name, one in choice.networks.items():
        print(_describe(name, one))
    for text in notes:
        print(f"Guessed: {text}.")
    for line in _left_out(choice):
        print(f"Left out: {line}.")
    print(f"Made {values.workdir}.")
    return 0


def _download(url):
    from cyclegan_jax.torch_files.download import download

    return str(download(url))


def _check_sum(path, expected):
    from cyclegan_jax.torch_files.download import check_sha256, file_sha256

    print(f"{path}: SHA-256 {file_sha256(path)}")
    check_sha256(path, expected)


def _guess_config(networks: Mapping) -> tuple[str, list[str]]:
    """Returns a config's name, and what was guessed about the method."""
    generators = [name for name in networks if name.startswith("g_")]
    settings = [networks[name].network.settings for name in generators]
    if len(generators) == 1 and settings[0].get("antialias_up"):
        direction = {"g_ab": "", "g_ba": "+BtoA"}[generators[0]]
        return f"cut:folder{direction}", []
    if not any(one["norm"] == "batch" for one in settings):
        return "folder", []
    if len(generators) == 1 and settings[0]["name"].startswith("unet"):
        direction = {"g_ab": "", "g_ba": "+BtoA"}[generators[0]]
        return f"pix2pix:folder{direction}", [
            "method pix2pix, as it is one U-Net with batch norm: it translates with"
            " dropout and by the statistics of the picture itself"
            " (--config.test_dropout, --config.test_statistics); for a U-Net of"
            " CycleGAN, --config=configs/folder.py"
        ]
    return "folder", [
        "method cyclegan, whose batch norm translates by the running statistics, as"
        " PyTorch does after eval(); for those of the picture itself,"
        " --config=configs/pix2pix.py:folder"
    ]


def _assign_only_discriminator(choice, config):
    """Methods of one direction have one discriminator, whatever it is called."""
    if config.method in _ONE_WAY and len(choice.unassigned) == 1:
        name = {"AtoB": "d_b", "BtoA": "d_a"}[config.direction]
        if name not in choice.networks:
            choice.networks[name] = choice.unassigned.pop()


def _describe(name, one):
    settings = dict(one.network.settings)
    kind = settings.pop("name")
    rest = ", ".join(f"{key} {value}" for key, value in settings.items())
    network = one.network
    text = f"{name}: {kind} ({rest}; {network.channels_in} to {network.channels_out}"
    text += f" channels) from {one.file}"
    text += f", {one.where}" if one.where else ""
    text += ", with its moving average" if one.average else ""
    return text + (f"; guessed: {'; '.join(one.notes)}" if one.notes else "")


def _left_out(choice):
    for file, items in choice.left_out.items():
        if items:
            yield f"of {file}: {', '.join(items)}"
    for one in choice.unassigned:
        yield (
            f"the discriminator {one.where or 'in'} of {one.file}, whose domain is not"
            f" known (name it: d_a={one.file}{':' if one.where else ''}{one.where},"
            " or d_b=)"
        )


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
