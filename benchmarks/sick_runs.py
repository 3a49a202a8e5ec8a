"""Short runs on `streets`, a healthy one and sick ones, and a picture of their curves.

    python -m benchmarks.sick_runs                    # draws docs/sick_runs.png
    python -m benchmarks.sick_runs --steps=100 --output=sick.png

Each sick run differs from the healthy one by the settings in `RUNS`. Takes 10 minutes
on two CPU cores; finished runs in --workdir are not trained again.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from benchmarks import records
from cyclegan_jax.runs.writer import read_metrics

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = ("train.py", "--config=configs/streets.py", "--config.best_metric=")
RUNS = {
    "healthy": {},
    "discriminators too strong": {"optimizer.discriminator_rate": 0.01},
    "no GAN loss": {"loss.gan": 0.0},
    "collapse": {
        "loss.cycle_a": 0.0,
        "loss.cycle_b": 0.0,
        "loss.identity": 0.0,
        "optimizer.learning_rate": 0.01,
    },
    "learning rate too high": {"optimizer.learning_rate": 1.0},
}
LOSSES = {"d_a": "C0", "g_ba": "C1", "d_b": "C2", "g_ab": "C3"}
SCORES = {"test/AtoB/diversity": "C4", "test/AtoB/luminance_correlation": "C5"}


def train(workdir: pathlib.Path, settings: dict, args: argparse.Namespace) -> str:
    """Trains a run; returns the last line of its output, of an error if it failed."""
    flags = (
        *(f"--config.{name}={value}" for name, value in settings.items()),
        f"--config.max_steps={args.steps}",
        f"--config.log_every_steps={max(args.steps // 40, 1)}",
        f"--config.evaluate_every_steps={max(args.steps // 8, 1)}",
        f"--config.sample_every_steps={args.steps}",
        f"--workdir={workdir}",
    )
    done = subprocess.run(
        [sys.executable, *COMMAND, *flags], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode not in (0, 2):  # 2: it became NaN, and said so.
        raise SystemExit(f"train.py ended with {done.returncode}:\n{done.stderr}")
    return (done.stderr if done.returncode else done.stdout).strip().splitlines()[-1]


def sample(workdir: pathlib.Path) -> np.ndarray | None:
    """Returns the last samples; none of a run that became NaN before them."""
    pictures = sorted((workdir / "samples").glob("step_*.png"))[1:]
    return np.asarray(Image.open(pictures[-1])) if pictures else None


def draw(runs: dict[str, pathlib.Path], output: pathlib.Path) -> None:
    """Draws a row for each run: losses, scores of test images, samples."""
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(
        len(runs),
        3,
        figsize=(13, 2.6 * len(runs)),
        width_ratios=(3, 2, 4),
        layout="constrained",
    )
    for (title, workdir), (losses, scores, pictures) in zip(
        runs.items(), grid, strict=True
    ):
        lines = list(read_metrics(workdir))
        for axes, curves in (losses, LOSSES), (scores, SCORES):
            for name, colour in curves.items():
                points = [(line["step"], line[name]) for line in lines if name in line]
                label = name.rpartition("/")[2].replace("_", " ")
                axes.plot(*zip(*points, strict=True), color=colour, label=label)
        losses.set_ylim(0, 1.2)
        scores.set_ylim(-1.05, 1.25)
        losses.set_ylabel(title)
        image = sample(workdir)
        pictures.axis("off")
        if image is None:
            pictures.text(0.5, 0.5, "it stopped", ha="center", va="center")
        else:
            pictures.imshow(image[: image.shape[0] // 2])
    for axes in grid[0, :2]:
        axes.legend(fontsize="small", ncols=2)
    figure.savefig(output, dpi=80)


def main() -> int:
    """Trains all of them, and draws."""
    parser = records.parser(__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--workdir", help="keeps the runs there")
    parser.add_argument("--output", default=ROOT / "docs" / "sick_runs.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.workdir or temporary)
        folders = {title: folder / title.replace(" ", "_") for title in RUNS}
        for title, settings in RUNS.items():
            print(f"{title}: {train(folders[title], settings, args)}", flush=True)
        draw(folders, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
