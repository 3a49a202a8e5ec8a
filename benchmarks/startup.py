"""Time from the command to the first step, cold and with the cache.

    python -m benchmarks.startup                          # the published setting
    python -m benchmarks.startup --size=128 --blocks=6

Runs the real `train.py` for one step on a few drawn images in the published setting,
with everything that belongs to a start: imports, checks, images, networks, compilation.
The second column adds the step itself. Samples and the checkpoint, which follow, are
not counted.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import ours, records

ROOT = pathlib.Path(__file__).parent.parent
# train.py, ended as soon as the first step's losses are there. A call of the step
# returns when its compiled program has begun.
PROGRAM = """
import os, runpy, time
from cyclegan_jax.training.trainer import Trainer

advance = Trainer.advance

def first(self, batch):
    import jax
    advance(self, batch)
    print("begun", time.time(), flush=True)
    jax.block_until_ready(self.pending)
    print("ended", time.time(), flush=True)
    print("device", jax.devices()[0].device_kind, flush=True)
    os._exit(0)

Trainer.advance = first
runpy.run_path("train.py", run_name="__main__")
"""


def start(folder: pathlib.Path, name: str, arguments: list[str]):
    """Returns seconds until the first step began, until it ended, and the device."""
    command = [
        *(sys.executable, "-c", PROGRAM, "--config=configs/folder.py"),
        f"--config.data.path={folder / 'images'}",
        f"--workdir={folder / name}",
        f"--compilation_cache={folder / 'cache'}",
        "--config.sample_every_steps=0",
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    started = time.time()
    output = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    values = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    begun, ended = (float(values[name]) - started for name in ("begun", "ended"))
    return begun, ended, values["device"]


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--output", default="benchmarks/results/startup.jsonl")
    args = parser.parse_args()
    arguments = [
        f"--config.data.load_size={args.size * 286 // 256}",
        f"--config.data.crop_size={args.size}",
        f"--config.generator.name=resnet_{args.blocks}blocks",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        splits = ("trainA", "trainB", "testA", "testB")
        images = folder / "images"
        ours.draw_images(images, 4, args.size, splits=splits, suffix="png")
        seconds = {kind: start(folder, kind, arguments) for kind in ("cold", "cached")}
        cache = sum(f.stat().st_size for f in folder.glob("cache/**/*") if f.is_file())
    rows = [
        [kind, f"{begun:.1f}", f"{ended:.1f}"]
        for kind, (begun, ended, _) in seconds.items()
    ]
    print(
        f"{args.size}x{args.size}, {args.blocks} blocks; cache {cache / 2**20:.1f} MiB"
    )
    records.print_table(["start", "s until step 1 begins", "s until it ends"], rows)
    record = records.environment(seconds["cold"][2]) | {
        "size": args.size,
        "blocks": args.blocks,
    }
    records.append(args.output, record | {"seconds": seconds, "cache_bytes": cache})


if __name__ == "__main__":
    main()
