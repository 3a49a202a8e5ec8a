r"""Evaluates a run on its test split.

python evaluate.py --workdir=runs/horse2zebra
python evaluate.py --workdir=runs/pretrained --data_path=horse2zebra.zip --step=all
"""

from absl import flags

from cyclegan_jax import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_STEP = flags.DEFINE_string(
    "step", "latest", "Of the checkpoint; or latest, best (see --metric), or all."
)
_METRIC = flags.DEFINE_string(
    "metric", "", "With --step=best, by what; the run's best_metric by default."
)
_AVERAGE = flags.DEFINE_bool("average", True, "Moving averages where they exist.")
_DATA_PATH = flags.DEFINE_string(
    "data_path", "", "Where the data are, if they have moved."
)
_PAIRED_TEST = flags.DEFINE_bool(
    "paired_test",
    False,
    "The test images of A and B are pairs by their names, whatever the run's config"
    " says: each translation is compared with its true image.",
)
_REFERENCE = flags.DEFINE_list(
    "fid_reference", "test", "Real images to compare with: test, train+test, or both."
)
# By name in evaluation.feature_networks.NETWORKS.
_NETWORKS = {
    name: flags.DEFINE_string(name, default, help_)
    for name, default, help_ in (
        (
            "inception",
            "auto",
            "Weights for FID and KID: a file, auto (the cache, or the public release),"
            " or none.",
        ),
        (
            "vgg16",
            "none",
            "Weights for KID by VGG-16: torchvision's file, auto (the cache, or the"
            " public release), or none.",
        ),
        (
            "fcn",
            "auto",
            "Segmentation network for photographs: a file of cyclegan_jax.train_fcn,"
            " auto (that in the run's folder), or none.",
        ),
        (
            "lpips",
            "",
            "Weights of LPIPS: torchvision's AlexNet and lpips' alex.pth, with a comma"
            " between them.",
        ),
    )
}


def main() -> int:
    """Evaluates the run that the flags name."""
    # After the flags: importing JAX takes seconds.
    from cyclegan_jax import evaluation
    from cyclegan_jax.machine import hosts
    from cyclegan_jax.runs import folder as run_folder
    from cyclegan_jax.runs.choosing import choose_step, list_steps

    run_folder.prepare(_WORKDIR.value)
    workdir, every = _WORKDIR.value, _STEP.value == "all" and not _METRIC.value
    list_steps(workdir)  # Whether there is anything to evaluate.
    if not every:
        step = choose_step(workdir, _STEP.value, _METRIC.value)
    evaluator = evaluation.open_evaluator(
        workdir,
        {name: flag.value for name, flag in _NETWORKS.items()},
        references=_REFERENCE.value,
        data_path=_DATA_PATH.value,
        paired_test=_PAIRED_TEST.value,
    )
    options = {
        "average": _AVERAGE.value,
        "data_path": _DATA_PATH.value,
        "evaluator": evaluator,
    }
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
