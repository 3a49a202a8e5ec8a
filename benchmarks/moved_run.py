"""A whole run, and one that is killed nine times and moved over 1, 8, 2, 4 devices.

    python -m benchmarks.moved_run                    # draws docs/moved_run.png
    python -m benchmarks.moved_run --devices=1,4,2 --output=moved.png  # on four GPUs
    python -m benchmarks.moved_run --same_bits=False --output=moved.png

Both are runs of `train.py` with `config.same_bits` and tiny networks. The second is
killed (SIGKILL) at random steps, and resumed on another number of devices: on a CPU
XLA's pretended ones. The picture has a loss of both, and the difference. Exit status 1
means that the two are different, in any bit of the losses or checkpoints. Takes
minutes.
"""

import itertools
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from benchmarks import records
from cyclegan_jax.runs import comparing
from cyclegan_jax.runs.writer import read_metrics

ROOT = pathlib.Path(__file__).parents[1]
KILLS = 9
LOSS = "cycle_a"
COMMAND = (
    "train.py",
    "--config=configs/streets.py:smoke",
    "--config.batch_size=8",
    "--config.data.streets_train=16",
    "--config.generator.width=4",
    "--config.discriminator.width=4",
    "--config.optimizer.learning_rate=0.001",
    "--config.optimizer.constant_epochs=1000",
    "--config.log_every_steps=1",
    "--config.checkpoint_every_steps=4",
    "--config.sample_every_steps=0",
    "--config.evaluate_every_steps=0",
    "--config.best_metric=",
)


def start(workdir: pathlib.Path, devices: int, args) -> subprocess.Popen:
    """Starts or resumes a run on so many devices."""
    command = (
        *(*COMMAND, f"--config.max_steps={args.steps}", f"--workdir={workdir}"),
        *(f"--config.same_bits={args.same_bits}", f"--devices={devices}"),
    )
    with workdir.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen, workdir: pathlib.Path) -> None:
    """Waits for a run that must succeed."""
    if process.wait():
        log = workdir.with_suffix(".log").read_text()
        raise SystemExit(f"train.py ended with {process.returncode}:\n{log[-1000:]}")


def logged(workdir: pathlib.Path) -> int:
    """Returns the last step in a run's metrics, 0 before the first."""
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def move(workdir: pathlib.Path, args) -> list[tuple[int, int]]:
    """Trains, killed and moved; returns (devices, last logged step) of every part."""
    rng = random.Random(0)
    share, parts = args.steps / (KILLS + 1), []
    for kill, devices in zip(range(KILLS), itertools.cycle(args.devices), strict=False):
        process = start(workdir, devices, args)
        until = round(share * (kill + rng.uniform(0.7, 1.3)))
        while logged(workdir) < until and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            finish(process, workdir)
            raise SystemExit("train.py ended before it was killed: use more --steps")
        process.kill()
        process.wait()
        parts.append((devices, logged(workdir)))
        print(f"{devices} devices: killed after step {parts[-1][1]}", flush=True)
    devices = args.devices[KILLS % len(args.devices)]
    finish(start(workdir, devices, args), workdir)
    return [*parts, (devices, args.steps)]


def curve(workdir: pathlib.Path) -> dict[int, float]:
    """Returns step -> the loss."""
    return {line["step"]: line[LOSS] for line in read_metrics(workdir) if LOSS in line}


def draw(whole, moved, parts, output) -> None:
    """Draws both losses, and their difference."""
    from matplotlib import pyplot

    figure, (losses, difference) = pyplot.subplots(
        2, 1, sharex=True, figsize=(8, 4.5), height_ratios=(3, 1), layout="constrained"
    )
    losses.plot(whole.keys(), whole.values(), color="0.75", lw=5, label="uninterrupted")
    counts = list(dict.fromkeys(devices for devices, _ in parts))
    begin = 1
    for devices, end in parts:
        steps = range(begin, end + 1)
        label = f"killed and moved: {devices} device{'s' * (devices > 1)}"
        known = losses.get_legend_handles_labels()[1]
        losses.plot(
            steps,
            [moved[step] for step in steps],
            color=f"C{counts.index(devices)}",
            lw=1.5,
            label=None if label in known else label,
        )
        begin = end
    gaps = [moved[step] - whole[step] for step in whole]
    difference.plot(whole.keys(), gaps, color="black", lw=1.5)
    for axes in (losses, difference):
        for _, end in parts[:-1]:
            axes.axvline(end, color="0.5", lw=0.8, ls=":")
    if not any(gaps):
        difference.set_ylim(-1, 1)
    losses.set_ylabel(f"loss {LOSS}")
    difference.set_ylabel("difference")
    difference.set_xlabel("step (dotted: killed)")
    losses.legend(fontsize="small", ncols=2)
    figure.savefig(output, dpi=120)


def main() -> int:
    """Trains both, draws, and compares every bit."""
    parser = records.parser(__doc__)
    parser.add_argument(
        "--devices",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[1, 8, 2, 4],
        help="powers of two up to 8, with commas (1,8,2,4)",
    )
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--same_bits", default="True", choices=("True", "False"))
    parser.add_argument("--output", default=ROOT / "docs" / "moved_run.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, moved = pathlib.Path(folder, "whole"), pathlib.Path(folder, "moved")
        finish(start(whole, args.devices[0], args), whole)
        parts = move(moved, args)
        draw(curve(whole), curve(moved), parts, args.output)
        found = comparing.compare(whole, moved)
    print("\n".join(found) or "The two are the same, bit for bit.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
