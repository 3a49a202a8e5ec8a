"""Training from Python; `cyclegan_jax.Translator` translates."""

import functools
from collections.abc import Mapping
from typing import Any

import ml_collections
from etils import epath

from cyclegan_jax.cli.arguments import read_config
from cyclegan_jax.machine import runtime
from cyclegan_jax.training import loop


def load_config(
    config: str, settings: Mapping[str, Any] | None = None
) -> ml_collections.ConfigDict:
    """Loads a config, as `--config=...` does.

    Args:
      config: the name of a config that comes with the package, or a file, with a
        variant after a colon: "horse2zebra", "pix2pix:facades", "mine.py".
      settings: changes, such as {"batch_size": 4, "data.path": "horse2zebra.zip"}.

    Returns:
      All settings, such as `config.data.path`; see `cyclegan_jax/runs/settings.py`.

    Raises:
      cyclegan_jax.errors.UserError: there is no such config or setting, or a value has
        the wrong type.
    """
    changes = [f"--config.{name}={value}" for name, value in (settings or {}).items()]
    return read_config(config, changes)


def train(
    config: ml_collections.ConfigDict,
    workdir: epath.PathLike,
    *,
    allow_changes: bool = False,
    devices: int = 0,
) -> int:
    """Trains a run, or resumes the one in the folder, as the command `train` does.

    Call it before anything else uses JAX in the process: it chooses XLA's options.

    Args:
      config: from `load_config`.
      workdir: the run's folder.
      allow_changes: resume with settings that affect the results.
      devices: use only this many of the machine's devices; 0: all.

    Returns:
      0 at the end of the run, or 128 + the number of the signal that stopped it.

    Raises:
      cyclegan_jax.errors.UserError: bad input, or a loss that is not finite.
    """
    _configure()
    return loop.train(config, workdir, allow_changes=allow_changes, devices=devices)


@functools.cache
def _configure():
    runtime.configure(runtime.default_cache())
