r"""A perceptual study, as in Zhu et al. 2017, section 5.1.1: can people tell?

    python -m cyclegan_jax.study make --workdir=runs/horse2zebra --output=study
    python -m cyclegan_jax.study score --key=study-key.json results/*.json

`make` writes a page that shows pairs of a real and a generated picture, and, beside its
folder, the key to the answers; `score` reads the files that participants saved.
Say --workdir several times to compare methods; each participant sees one of them.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError
from cyclegan_jax.study import scoring as study_scoring
from cyclegan_jax.study.protocol import Protocol

_FLAGS = {
    "make": (
        "workdir",
        "direction",
        "step",
        "average",
        "data_path",
        "trials",
        "practice",
        "attention",
        "max_pairs",
        "sessions",
        "show_ms",
        "pause_ms",
        "seed",
    ),
    "score": ("key", "allowed_failures"),
}


def _flags():
    """Defines the flags of the command only, so that importing this module does not."""
    d = Protocol()
    flags.DEFINE_multi_string("workdir", None, "make: a run's folder.")
    flags.DEFINE_string(
        "output",
        None,
        "make: the study's folder (study); score: a file for scores.",
    )
    flags.DEFINE_string("direction", "AtoB", "make: AtoB or BtoA.")
    flags.DEFINE_string(
        "step", "latest", "make: of the checkpoint; or latest, or best (best_metric)."
    )
    flags.DEFINE_bool("average", True, "make: moving averages where they exist.")
    flags.DEFINE_string(
        "data_path", "", "make: where the data lie, if not where the config says."
    )
    for name, text in (
        ("trials", "scored pairs that each participant sees"),
        ("practice", "pairs before them, with feedback"),
        ("attention", "pairs among them whose fake is obvious"),
        ("max_pairs", "the most scored pairs to draw each participant's from"),
        ("sessions", "different sequences of trials for each method"),
        ("show_ms", "milliseconds for which a pair is shown"),
        ("pause_ms", "milliseconds before each pair"),
        ("seed", "of all random choices"),
    ):
        flags.DEFINE_integer(name, getattr(d, name), f"make: {text}.")
    flags.DEFINE_string("key", "study-key.json", "score: the key that make wrote.")
    flags.DEFINE_integer(
        "allowed_failures", 0, "score: attention trials that a participant may fail."
    )


def main(arguments: Sequence[str]) -> int:
    """Runs one of the two commands."""
    command, *rest = arguments or [""]
    cli.check_command(command, _FLAGS)
    return _make(rest) if command == "make" else _score(rest)


def _make(rest):
    values = flags.FLAGS
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; see --help.")
    if not values.workdir:
        raise UserError("--workdir is missing: the run's folder.")
    from cyclegan_jax.study import making as study_making

    names = Protocol.__dataclass_fields__
    page, key = study_making.make(
        values.workdir,
        values.output or "study",
        Protocol(**{name: values[name].value for name in names}),
        direction=values.direction,
        step=values.step,
        average=values.average,
        data_path=values.data_path,
    )
    print(f"Look at {page}")
    print(f"Give that folder to the participants, but keep {key} to yourself.")
    print(f"python -m cyclegan_jax.study score --key={key} results/*.json")
    return 0


def _score(files):
    values = flags.FLAGS
    if not files:
        raise UserError("name the files that the participants saved.")
    key = study_scoring.read_key(values.key)
    result = study_scoring.score(files, key, allowed_failures=values.allowed_failures)
    print(study_scoring.describe(result))
    if values.output:
        files.write_json(pathlib.Path(values.output), result)
        print(f"wrote {values.output}")
    return 0


if __name__ == "__main__":
    _flags()
    cli.run(main, positional=True)
