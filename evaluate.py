r"""Evaluates a run on its test split.

python evaluate.py --workdir=runs/horse2zebra
python evaluate.py --workdir=runs/pretrained --data_path=horse2zebra.zip --step=all
"""

from absl import flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_STEP = flags.DEFINE_string("step", "latest", "Of the checkpoint; or latest, or all.")
_AVERAGE = flags.DEFINE_bool("average", True, "Moving averages where they exist.")
_DATA_PATH = flags.DEFINE_string(
    "data_path", "", "Where the data lie, if not where the run's config says."
)


def main() -> int:
    """Evaluates the run that the flags name."""
    from cyclegan_jax import evaluation  # After the flags: JAX takes seconds.

    options = {"average": _AVERAGE.value, "data_path": _DATA_PATH.value}
    step = _STEP.value
    if step == "all":
        results = evaluation.evaluate_all(_WORKDIR.value, **options)
    elif step == "latest" or step.isdigit():
        number = None if step == "latest" else int(step)
        results = [evaluation.evaluate(_WORKDIR.value, number, **options)]
    else:
        raise UserError(f"step is {step!r}; it can be a number, latest or all.")
    print(evaluation.describe(results))
    for result in results:
        print(f"Look at {_WORKDIR.value}/evaluation/{result['step']}/index.html")
    return 0


if __name__ == "__main__":
    cli.run(main, required=("workdir",))
