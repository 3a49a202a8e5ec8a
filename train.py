r"""Trains CycleGAN; run again with the same arguments to resume.

    python train.py --config=configs/horse2zebra.py
    python train.py --config=configs/streets.py --workdir=runs/mine \
        --config.seed=1 --config.loss.identity=0
    python train.py --reproduce=runs/mine/run.json
"""

import pathlib

from absl import flags
from etils import epath
from ml_collections import config_flags

from cyclegan_jax import cli, files
from cyclegan_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Settings, such as configs/horse2zebra.py, or configs/horse2zebra.py:smoke.",
)
_REPRODUCE = flags.DEFINE_string(
    "reproduce",
    None,
    "Instead of --config: run.json of a run that is to be done again, in a folder of"
    " its own, <that run's>-again by default.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run's folder; by default runs/<name of the config>[-<variant>].",
)
_ALLOW_CHANGES = flags.DEFINE_bool(
    "allow_changes",
    False,
    "Resume a run with other settings than it began with, such as a learning rate or"
    " more epochs; run.json records them.",
)
_DEVICES = flags.DEFINE_integer(
    "devices", 0, "Use only so many of this machine's devices; 0: all.", lower_bound=0
)


def main() -> int:
    """Trains the run that the flags describe."""
    from cyclegan_jax.runs import storage
    from cyclegan_jax.training import loop

    if _REPRODUCE.value:
        return _reproduce(files.absolute(files.as_path(_REPRODUCE.value)))
    if _CONFIG.value is None:
        raise UserError("--config is missing; see train.py --help.")
    path, _, variant = flags.FLAGS["config"].config_filename.partition(":")
    name = "-".join(filter(None, (pathlib.Path(path).stem, variant)))
    workdir = storage.locate(_WORKDIR.value or f"runs/{name}")
    options = {"allow_changes": _ALLOW_CHANGES.value, "devices": _DEVICES.value}
    return loop.train(_CONFIG.value, workdir, **options)


def _reproduce(path: epath.Path) -> int:
    """Says what is different now, and does the run again."""
    from cyclegan_jax.runs import storage
    from cyclegan_jax.training import reproduce

    if _CONFIG.value is not None:
        raise UserError("--reproduce takes the config of that run; leave out --config.")
    folder = path.parent
    again = folder.with_name(f"{folder.name}-again")
    workdir = storage.locate(_WORKDIR.value) if _WORKDIR.value else again
    return reproduce.reproduce(path, workdir)


if __name__ == "__main__":
    cli.run(main, several_hosts=True)
