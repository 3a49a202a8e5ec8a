r"""Evaluates a run on its test split.

python evaluate.py --workdir=runs/horse2zebra
python evaluate.py --workdir=runs/pretrained --data_path=horse2zebra.zip --step=all
"""

import re

from absl import flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_STEP = flags.DEFINE_string("step", "latest", "Of the checkpoint; or latest, or all.")
_AVERAGE = flags.DEFINE_bool("average", True, "Moving averages where they exist.")
_DATA_PATH = flags.DEFINE_string(
    "data_path", "", "Where the data lie, if not where the run's config says."
)


_INCEPTION = flags.DEFINE_string(
    "inception",
    "auto",
    "Weights for FID and KID: a file, auto (the cache, or their release), or none.",
)
_REFERENCE = flags.DEFINE_list(
    "fid_reference", "test", "Real images to compare with: test, train+test, or both."
)


def _realism():
    """Prepares FID and KID, or says why they will be missing."""
    from cyclegan_jax.metrics import features
    from cyclegan_jax.realism import REFERENCES, Realism

    for reference in _REFERENCE.value:
        if reference not in REFERENCES:
            raise UserError(f"fid_reference {reference!r} is not test or train+test.")
    if _INCEPTION.value == "none":
        return "FID and KID were not asked for."
    try:
        path = None if _INCEPTION.value == "auto" else _INCEPTION.value
        extractor = features.Extractor(features.load_weights(path))
    except UserError as error:
        if _INCEPTION.value != "auto":
            raise
        return f"FID and KID are missing: {error}"
    return Realism(extractor, references=_REFERENCE.value)


def main() -> int:
    """Evaluates the run that the flags name."""
    from cyclegan_jax import evaluation, restore  # After the flags: JAX takes seconds.

    step = _STEP.value
    if step not in ("all", "latest") and not re.fullmatch("[0-9]+", step):
        raise UserError(f"step is {step!r}; it can be a number, latest or all.")
    restore.steps(_WORKDIR.value)  # Whether there is anything to evaluate.
    options = {"average": _AVERAGE.value, "data_path": _DATA_PATH.value}
    options["realism"] = _realism()
    if step == "all":
        results = evaluation.evaluate_all(_WORKDIR.value, **options)
    else:
        number = None if step == "latest" else int(step)
        results = [evaluation.evaluate(_WORKDIR.value, number, **options)]
    print(evaluation.describe(results))
    for result in results:
        print(f"Look at {_WORKDIR.value}/evaluation/{result['step']}/index.html")
    return 0


if __name__ == "__main__":
    cli.run(main, required=("workdir",))
