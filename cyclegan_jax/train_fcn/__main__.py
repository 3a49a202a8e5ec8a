r"""Trains the network that scores generated photographs, on a data set's real pairs.

    python -m cyclegan_jax.train_fcn --workdir=runs/cityscapes
    python -m cyclegan_jax.train_fcn --config=configs/streets.py --output=fcn.st

Writes fcn.safetensors into the run's folder, where evaluate.py finds it. To compare
several runs, give all of them the same file with evaluate.py's --fcn.
"""

import argparse

from cyclegan_jax import cli, files
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError


def parser(prog: str = "python -m cyclegan_jax.train_fcn") -> arguments.Parser:
    """Returns the parser of the command's flags."""
    flags = arguments.Parser(prog=prog, description=__doc__)
    add, positive = flags.add_argument, arguments.at_least(1)
    add("--workdir", default="", help="the run's folder; its data are used")
    flags.add_config("instead of --workdir: the config of the data")
    add("--output", default="", help="the file; else WORKDIR/fcn.safetensors")
    add("--steps", type=positive, default=2000, help="of training")
    add("--batch_size", type=positive, default=8, help="photographs per step")
    add(
        "--seed",
        type=arguments.at_least(0),
        default=0,
        help="of initialisation and order",
    )
    add("--data_path", default="", help="where the data are, if they have moved")
    return flags


def main(values: argparse.Namespace) -> int:
    """Trains and scores the network, and writes its file."""

    from cyclegan_jax.metrics import fcn, fcn_training, labels
    from cyclegan_jax.runs import experiment
    from cyclegan_jax.runs import folder as run_folder

    config, output = values.config, values.output
    if bool(values.workdir) == bool(config) or (config and not output):
        raise UserError("give either --workdir, or --config and --output.")
    if not config:
        config = run_folder.load_config(values.workdir)
    dataset = experiment.load_dataset(config, path=values.data_path)
    segmenter = fcn_training.fit(
        dataset,
        config.data.crop_size,
        steps=values.steps,
        batch_size=values.batch_size,
        seed=values.seed,
    )
    output = files.as_path(output or files.as_path(values.workdir) / fcn.FILE_NAME)
    segmenter.save(output)
    maps, palette = dataset.test_class_maps, dataset.palette
    if maps is not None and palette is not None:
        truth = labels.Truth(maps, len(palette.names))
        scores = fcn.score_photos(segmenter, dataset.test_a, truth).items()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores)
        print(f"Real test photographs: {shown}")
    print(f"Written to {output}")
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
