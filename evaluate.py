r"""Evaluates a run on its test split.

python evaluate.py --workdir=runs/horse2zebra
python evaluate.py --workdir=runs/pretrained --data_path=horse2zebra.zip --step=all
"""

from absl import flags

from cyclegan_jax import cli
from cyclegan_jax.runs.choosing import list_steps

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_STEP = flags.DEFINE_string(
    "step", "latest", "Of the checkpoint; or latest, best (see --metric), or all."
)
_METRIC = flags.DEFINE_string(
    "metric", "", "With --step=best, by what; the run's best_metric by default."
)
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
_FCN = flags.DEFINE_string(
    "fcn",
    "auto",
    "Network that sees classes in photographs: a file of cyclegan_jax.train_fcn, auto"
    " (the run's own), or none.",
)
_LPIPS = flags.DEFINE_list(
    "lpips", "", "Weights of LPIPS: torchvision's AlexNet and lpips' alex.pth."
)


def main() -> int:
    """Evaluates the run that the flags name."""
    # After the flags: importing JAX takes seconds.
    from cyclegan_jax import evaluation
    from cyclegan_jax.machine import hosts
    from cyclegan_jax.runs import folder as run_folder
    from cyclegan_jax.runs.choosing import choose_step

    run_folder.prepare(_WORKDIR.value)
    workdir, every = _WORKDIR.value, _STEP.value == "all" and not _METRIC.value
    list_steps(workdir)  # Whether there is anything to evaluate.
    if not every:
        step = choose_step(workdir, _STEP.value, _METRIC.value)
    test_split = evaluation.open_test_split(
        workdir,
        data_path=_DATA_PATH.value,
        inception=_INCEPTION.value,
        references=_REFERENCE.value,
        fcn_file=_FCN.value,
        lpips_files=_LPIPS.value,
    )
    options = {"average": _AVERAGE.value, "data_path": _DATA_PATH.value}
    options["test_split"] = test_split
    if every:
        results = evaluation.evaluate_all(workdir, **options)
    else:
        results = [evaluation.evaluate(workdir, step, **options)]
    if not hosts.is_main():
        return 0
    print(evaluation.describe(results))
    for result in results:
        print(f"Look at {workdir}/evaluation/{result['step']}/index.html")
    if every:
        print(f"and at {workdir}/evaluation/index.html")
    return 0


if __name__ == "__main__":
    cli.run(main, required=("workdir",), several_hosts=True)
