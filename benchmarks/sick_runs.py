"""Short runs on `streets`, a healthy one and sick ones, and a picture of their curves.

    python -m benchmarks.sick_runs                    # draws docs/sick_runs.png
    python -m benchmarks.sick_runs --steps=100 --output=sick.png

Each sick run differs from the healthy one by the settings in `RUNS`. Takes
minutes on two CPU cores; finished runs in --workdir are not trained again.
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
COMMAND = ("train.py", "--config=configs/streets.py:plain", "--config.best_metric=")
RUNS = {
    "healthy": {},
    "discriminators too strong": {
        "optimizer.learning_rate": 2e-6,
        "optimizer.discriminator_rate": 2e-4,
    },
    "no GAN loss": {"loss.gan": 0.0, "loss.identity": 0.0},
    "collapse": {
        "loss.cycle_a": 0.0,
        "loss.cycle_b": 0.0,
        "loss.identity": 0.0,
        "optimizer.learning_rate": 0.004,
    },
    "learning rate too high": {"optimizer.learning_rate": 1.0},
}
CURVES = {
    "losses": {
        **{"d_a": "C0", "d_b": "C2", "g_ba": "C1", "g_ab": "C3"},
        **{"cycle_a": "0.5", "cycle_b": "0.8"},
    },
    "scores of test images": {
        "test/AtoB/diversity": "C4",
        "test/AtoB/luminance_correlation": "C5",
    },
}


def train(workdir: pathlib.Path, settings: dict, args: argparse.Namespace) -> None:
    """Trains a run."""
    flags = (
        *(f"--config.{name}={value}" for name, value in settings.items()),
        f"--config.max_steps={args.steps}",
        f"--config.log_every_steps={max(args.steps // 40, 1)}",
        f"--config.evaluate_every_steps={max(args.steps // 8, 1)}",
        f"--config.sample_every_steps={args.steps}",
        f"--workdir={workdir}",
    )
    subprocess.run([sys.executable, *COMMAND, *flags], cwd=ROOT, check=True)


def sample(workdir: pathlib.Path) -> np.ndarray:
    """Returns the last samples."""
    pictures = sorted((workdir / "samples").glob("step_*.png"))
    return np.asarray(Image.open(pictures[-1]))


def draw(runs: dict[str, pathlib.Path], output: pathlib.Path) -> None:
    """Draws a row for each run: losses, scores of test images, samples."""
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(
        len(runs),
        3,
        sharex="col",
        sharey="col",
        figsize=(15, 2.3 * len(runs)),
        width_ratios=(3, 2, 6),
        layout="constrained",
    )
    for (title, workdir), row in zip(runs.items(), grid, strict=True):
        lines = list(read_metrics(workdir))
        for axes, curves in zip(row, CURVES.values(), strict=False):
            for name, colour in curves.items():
                points = [(line["step"], line[name]) for line in lines if name in line]
                label = name.rpartition("/")[2].replace("luminance_", "luminance\n")
                steps, values = zip(*points, strict=True) if points else ((), ())
                axes.plot(steps, values, color=colour, label=label)
        row[0].set_ylabel(title)
        row[2].axis("off")
        image = sample(workdir)
        row[2].imshow(image[: image.shape[0] // 2])
    for axes, title in zip(grid[0], CURVES, strict=False):
        axes.set_title(title)
        axes.legend(fontsize="small", ncols=3)
    grid[0, 0].set_yscale("log")
    grid[0, 1].set_ylim(-1.05, 1.6)
    grid[0, 2].set_title("samples at the end")
    for axes in grid[-1, :2]:
        axes.set_xlabel("step")
    figure.savefig(output, dpi=80)
    Image.open(output).convert("RGB").quantize(256).save(output, optimize=True)


def main() -> int:
    """Trains all of them, and draws."""
    parser = records.parser(__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--workdir", help="keeps the runs there")
    parser.add_argument("--output", default=ROOT / "docs" / "sick_runs.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.workdir or temporary)
        folders = {title: folder / title.replace(" ", "_") for title in RUNS}
        for title, settings in RUNS.items():
            train(folders[title], settings, args)
        draw(folders, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
