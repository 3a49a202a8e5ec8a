"""Ours against the published code, trained alike: the same start, data and settings.

    python -m benchmarks.trained_alike --data=streets --output=runs/trained_alike
    python -m benchmarks.trained_alike --data=emoji --output=... --config.data.path=...

For every seed PyTorch draws the initial weights, as published. `train.py` starts from
them, and so does the PyTorch oracle of the parity tests, with the published settings
(cycle 10, identity 5, no moving averages) and as many steps. Each draws its own order
of the images, flips, crops and decisions of the pools. The oracle's networks are
imported as a run, and `evaluate.py` scores the last networks of both (photographs of
`streets` by one FCN, trained on real ones, too). Printed are
means and standard deviations over the seeds, and the mean difference with its 95 %
confidence interval (Student's, of the paired differences). Whatever has ended is not
computed again. Settings that the oracle would not follow are refused. Needs
requirements-parity.txt.
"""

import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from scipy import stats

from benchmarks import records
from cyclegan_jax import load_config
from cyclegan_jax.runs.experiment import Experiment
from tests.oracle import learning_rates, networks, training

ROOT = pathlib.Path(__file__).parents[1]
NETWORKS = ("g_ab", "g_ba", "d_a", "d_b")
PUBLISHED = {
    "loss.cycle_a": 10.0,
    "ema_decay": 0.0,
    **{"evaluate_every_steps": 0, "best_metric": ""},
}
# Settings that may be given, since both follow them or they are about reports alone.
FOLLOWED = re.compile(
    r"data\.(path|dataset|load_size|crop_size|flip|streets_\w+|cache_gib)|max_steps"
    r"|pool_size|(generator|discriminator)\.width|discriminator\.n_layers|num_samples"
    r"|optimizer\.(learning_rate|constant_epochs|decay_epochs)|\w+_every_steps"
)
# Data -> config, settings beside the published ones, flags of evaluate.py.
SETS = {
    "streets": ("configs/streets.py:plain", {}, ()),
    "emoji": ("configs/emoji.py", {}, ()),
    "horse2zebra": (
        "configs/horse2zebra.py",
        {
            "data.load_size": 72,
            "data.crop_size": 64,
            "generator.name": "resnet_6blocks",
            "discriminator.name": "n_layers",
            "discriminator.n_layers": 2,
            "optimizer.constant_epochs": 5,
            "optimizer.decay_epochs": 5,
        },
        (),
    ),
}


def call(*command: str) -> None:
    """Runs a program of the repository; its output goes to this one's."""
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


def build(config) -> dict[str, torch.nn.Module]:
    """Returns the four networks as published, with weights as published."""
    blocks = int(config.generator.name.removeprefix("resnet_").removesuffix("blocks"))
    layers = config.discriminator.n_layers
    nets: dict[str, torch.nn.Module] = {}
    for name in NETWORKS:
        if name.startswith("g"):
            width = config.generator.width
            nets[name] = networks.ResnetGenerator(width=width, blocks=blocks)
        else:
            width = config.discriminator.width
            nets[name] = networks.PatchDiscriminator(width=width, layers=layers)
        networks.init_weights(nets[name])
    return nets


def import_run(nets, folder: pathlib.Path, flags: Sequence[str]) -> pathlib.Path:
    """Saves networks as published, and makes a run of them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, net in nets.items():
        torch.save(net.state_dict(), folder / f"{name}.pth")
        files.append(f"{name}={folder / name}.pth")
    run = folder / "run"
    command = ("-m", "cyclegan_jax.torch_weights", "import", *files)
    call(*command, f"--workdir={run}", *flags)
    return run


def pairs(config, source, rng: random.Random) -> Iterator[tuple]:
    """Draws an epoch as published: A in random order, B at random, crops and flips."""
    load, crop = config.data.load_size, config.data.crop_size

    def prepare(image):
        image = Image.fromarray(image).convert("RGB")
        image = image.resize((load, load), Image.Resampling.BICUBIC)
        left, top = rng.randint(0, load - crop), rng.randint(0, load - crop)
        image = image.crop((left, top, left + crop, top + crop))
        if config.data.flip and rng.random() > 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image, np.float32)[None] / 127.5 - 1.0

    a, b = source.train_a, source.train_b
    order = list(range(max(len(a), len(b))))
    rng.shuffle(order)
    for index in order:
        yield prepare(a[index % len(a)]), prepare(b[rng.randrange(len(b))])


def train_oracle(nets, config, seed: int) -> None:
    """Trains the oracle for as many steps as the config has."""
    dataset = Experiment.of(config).dataset()
    rng, o = random.Random(seed), config.optimizer
    settings = training.Settings(lr=o.learning_rate, pool_size=config.pool_size)
    trainer = training.CycleGANTrainer(nets, settings)
    factors = learning_rates.multipliers(
        "linear", "end", o.constant_epochs, o.decay_epochs
    )

    def decide():
        return [(rng.uniform(0, 1) > 0.5, rng.randint(0, config.pool_size - 1))]

    step = 0
    for epoch, factor in enumerate(factors, 1):
        for optimizer in (trainer.optimizer_g, trainer.optimizer_d):
            optimizer.param_groups[0]["lr"] = o.learning_rate * factor
        for a, b in pairs(config, dataset, rng):
            losses = trainer.step(a, b, decide(), decide())
            step += 1
            if step == config.max_steps:
                return
        print(f"oracle, seed {seed}: epoch {epoch}, step {step}, {losses}", flush=True)


def scores(run: pathlib.Path, flags: Sequence[str]) -> dict[str, float]:
    """Evaluates the newest checkpoint: direction/metric of translations -> value."""
    found = sorted(run.glob("evaluation/*/metrics.json"))
    if not found:
        call("evaluate.py", f"--workdir={run}", "--inception=none", *flags)
        found = sorted(run.glob("evaluation/*/metrics.json"))
    metrics = json.loads(found[-1].read_text())
    return {
        f"{direction}/{name}": value
        for direction in ("AtoB", "BtoA")
        for name, value in metrics[direction].items()
        if isinstance(value, int | float)
        and not name.endswith(("_by_chance", "_of_real", "_of_input"))
        and "standard_error" not in name
    }


def train_both(
    folder: pathlib.Path, seed: int, name: str, settings: dict, flags: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Trains and scores one seed of both."""
    settings = {**settings, "seed": seed}
    config = load_config(name, settings)
    given = [f"--config={name}"]
    given += [f"--config.{key}={value}" for key, value in settings.items()]
    torch.manual_seed(seed)
    nets = build(config)
    start, theirs, ours = (folder / name for name in ("start", "theirs", "ours"))
    if not (start / "run").exists():
        import_run(nets, start, given)
    init = f"--config.init_from={start / 'run'}"
    call("train.py", *given, init, f"--workdir={ours}")
    if not (theirs / "run").exists():
        train_oracle(nets, config, seed)
        import_run(nets, theirs, given)
    return {
        "ours": scores(ours, flags),
        "theirs": scores(theirs / "run", flags),
    }


def compare(ours: Sequence[float], theirs: Sequence[float]) -> list[str]:
    """Returns both means with deviations, and the interval of the difference."""

    def spread(values):
        if len(values) == 1:
            return f"{values[0]:.3f}"
        return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"

    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    interval = "one seed"
    if len(gaps) > 1:
        half = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps)
        middle = statistics.mean(gaps)
        interval = f"{middle:+.3f} ({middle - half:+.3f} to {middle + half:+.3f})"
    return [spread(ours), spread(theirs), interval]


def main() -> int:
    """Trains both with every seed, and prints the table."""
    parser = records.parser(__doc__)
    parser.add_argument("--data", choices=sorted(SETS), default="streets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    args, more = parser.parse_known_args()
    name, settings, flags = SETS[args.data]
    settings = {**PUBLISHED, **settings}
    for flag in more:
        key, found, value = flag.removeprefix("--config.").partition("=")
        if not found or not FOLLOWED.fullmatch(key):
            parser.error(f"{flag}: not a setting that both programs follow")
        settings[key] = value
    flags = ("--efficientnet_lite0=auto", *flags)
    folder = args.output.resolve() / args.data
    if args.data == "streets":
        fcn = folder / "fcn.safetensors"
        flags += (f"--fcn={fcn}",)
        if not fcn.exists():
            train = (f"--config={name}", f"--output={fcn}", "--steps=600")
            call("-m", "cyclegan_jax.train_fcn", *train)
    results = [
        train_both(folder / f"seed_{seed}", seed, name, settings, flags)
        for seed in range(args.seeds)
    ]
    record = records.environment("JAX's default; PyTorch: cpu") | {
        "settings": settings,
        "results": results,
    }
    (folder / "results.json").write_text(json.dumps(record, indent=2))
    rows = [
        [key, *compare(*([run[side][key] for run in results] for side in run))]
        for run in results[:1]
        for key in run["ours"]
    ]
    header = ["", "cyclegan_jax", "PyTorch oracle", "difference (95 %)"]
    records.print_table(header, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
