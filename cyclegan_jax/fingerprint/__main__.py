r"""Says what a run's checkpoints hold in a few digits, and where two runs part.

    python -m cyclegan_jax.fingerprint RUN
    python -m cyclegan_jax.fingerprint RUN OTHER_RUN

Exit status 1 means that the two are different.
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.choosing import list_steps
from cyclegan_jax.runs.comparing import compare, of_checkpoint


def parser(prog: str = "python -m cyclegan_jax.fingerprint") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    flags.add_argument(
        "files", nargs="*", metavar="RUN", help="one run's folder, or two"
    )
    return flags


def main(values: argparse.Namespace) -> int:
    """Prints the digits of one run, or where two differ."""
    runs = [storage.locate(run) for run in values.files]
    if len(runs) not in (1, 2):
        raise UserError("name one run's folder, or two.")
    if len(runs) == 1:
        for step in list_steps(runs[0]):
            print(f"step {step}")
            for part, digits in of_checkpoint(runs[0], step).items():
                print(f"  {digits}  {part}")
        return 0
    differences = compare(*runs)
    same = "The two are the same, bit for bit"
    one, other = (list_steps(run)[-1] for run in runs)
    if one != other:
        same += f", up to step {min(one, other)}; one continues to {max(one, other)}"
    print("\n".join(differences) or f"{same}.")
    return 1 if differences else 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
