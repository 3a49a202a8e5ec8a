r"""Trains CycleGAN; run again with the same arguments to resume.

    python train.py --config=configs/horse2zebra.py
    python train.py --config=configs/streets.py --workdir=runs/mine \
        --config.seed=1 --config.loss.identity=0
"""

import pathlib

from absl import flags
from etils import epath
from ml_collections import config_flags

from cyclegan_jax import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Settings, such as configs/horse2zebra.py, or configs/horse2zebra.py:smoke.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The run's folder; by default runs/<name of the config>[-<variant>].",
)


def main() -> int:
    """Trains the run that the flags describe."""
    from cyclegan_jax import loop  # After the flags: importing JAX takes seconds.

    path, _, variant = flags.FLAGS["config"].config_filename.partition(":")
    name = "-".join(filter(None, (pathlib.Path(path).stem, variant)))
    workdir = epath.Path(_WORKDIR.value or f"runs/{name}").expanduser()
    return loop.train(_CONFIG.value, workdir)


if __name__ == "__main__":
    cli.run(main, required=("config",))
