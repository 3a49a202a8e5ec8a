r"""A perceptual study ("real or fake?"), as in Zhu et al. 2017, section 5.1.1.

    python -m cyclegan_jax.study make --workdir=runs/horse2zebra --output=study
    python -m cyclegan_jax.study score --key=study-key.json results/*.json

`make` writes a page that shows pairs of a real and a generated image and, beside its
folder, the key to the answers; `score` reads the files that participants saved.
Repeat --workdir to compare methods; each participant sees one of them.
"""

import argparse

from cyclegan_jax import cli, files
from cyclegan_jax.cli.arguments import Parser
from cyclegan_jax.errors import UserError
from cyclegan_jax.study import scoring as study_scoring
from cyclegan_jax.study.protocol import Protocol


def parser(prog: str = "python -m cyclegan_jax.study") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    commands = flags.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="writes a study")
    add, default = make.add_argument, Protocol()
    add("--workdir", required=True, action="append", help="a run's folder")
    add("--output", default="study", help="the study's folder")
    add("--direction", default="AtoB", help="AtoB or BtoA")
    add(
        "--step",
        default="latest",
        help="of the checkpoint; latest, or best",
    )
    make.add_bool("average", True, "use averaged (EMA) weights where they exist")
    add("--data_path", default="", help="where the data are, if they have moved")
    for name, text in (
        ("trials", "scored pairs that each participant sees"),
        ("practice", "pairs before them, with feedback"),
        ("attention", "pairs among them whose fake is obvious"),
        ("max_pairs", "number of scored pairs to sample sessions from"),
        ("sessions", "different sequences of trials for each method"),
        ("show_ms", "milliseconds for which a pair is shown"),
        ("pause_ms", "milliseconds before each pair"),
        ("seed", "of all random choices"),
    ):
        add(f"--{name}", type=int, default=getattr(default, name), help=text)
    score = commands.add_parser("score", help="scores what participants saved")
    add = score.add_argument
    add("files", nargs="*", help="that the participants saved")
    add("--key", default="study-key.json", help="the key that make wrote")
    add("--output", help="a file for the scores")
    add(
        "--allowed_failures",
        type=int,
        default=0,
        help="attention trials that a participant may fail",
    )
    return flags


def main(values: argparse.Namespace) -> int:
    """Runs one of the two commands."""
    return _make(values) if values.command == "make" else _score(values)


def _make(values):
    from cyclegan_jax.study import making as study_making

    names = Protocol.__dataclass_fields__
    page, key = study_making.make(
        values.workdir,
        values.output,
        Protocol(**{name: getattr(values, name) for name in names}),
        direction=values.direction,
        step=values.step,
        average=values.average,
        data_path=values.data_path,
    )
    print(f"Open {page}")
    print(f"Give that folder to the participants, but keep {key} private.")
    print(f"python -m cyclegan_jax.study score --key={key} results/*.json")
    return 0


def _score(values):
    if not values.files:
        raise UserError("name the files that the participants saved.")
    key = study_scoring.read_key(values.key)
    result = study_scoring.score(
        values.files, key, allowed_failures=values.allowed_failures
    )
    print(study_scoring.describe(result))
    if values.output:
        files.write_json(files.as_path(values.output), result)
        print(f"wrote {values.output}")
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
