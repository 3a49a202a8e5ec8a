"""Options of XLA: those for our networks, and which ones the installed XLA takes.

With any other in XLA_FLAGS it ends a process, and options come and go with its
versions. A child process tries them, in a third of a second, and what it found is
remembered in the user's cache.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from cyclegan_jax import files
from cyclegan_jax.errors import UserError

_TRY = "from jaxlib import _jax; _jax.CompileOptions()"  # Reads XLA_FLAGS.
_PATIENCE = 60.0  # Seconds, where the machine is busy.
_REMEMBERED = 100  # Combinations of options.


def of_networks(platform: str, images: int) -> dict[str, bool]:
    """Returns the options to compile networks with.

    For the convolutions of small batches, XLA cuts images into strips on TPUs and
    computes these as a larger batch (space to batch). One image takes less time in
    strips, two or more take longer, four several times as long; docs/scaling.md has
    figures. Large batches are not cut anyway.

    Args:
      platform: of the devices.
      images: of each domain that a device computes at a time.
    """
    if platform != "tpu" or images == 1:
        return {}
    names = ("", "_on_new_platforms")  # Either of them suffices to have it done.
    return {f"xla_tpu_run_space_to_batch{name}": False for name in names}


def check_given() -> None:
    """Checks what the user has in XLA_FLAGS.

    Raises:
      UserError: XLA does not take it.
    """
    given = os.environ.get("XLA_FLAGS", "").strip()
    if not given or accepts(given) or not accepts(""):
        return
    wrong = [option for option in given.split() if not accepts(option)] or [given]
    raise UserError(
        f"XLA_FLAGS has {', '.join(wrong)}, which jaxlib {metadata.version('jaxlib')}"
        " does not accept: remove or correct it."
    )


def accepted(options: Sequence[str]) -> list[str]:
    """Returns those of some options, such as `--xla_a=1`, that XLA takes."""
    if accepts(" ".join(options)):
        return list(options)
    return [option for option in options if accepts(option)]


def accepts(flags: str) -> bool:
    """Whether a process with these XLA_FLAGS can compute."""
    version = metadata.version("jaxlib")
    known = dict(_remembered().get(version) or {})
    if flags not in known:
        status = _try(flags)
        if status is None:
            return False
        known[flags] = status == 0
        _remember(version, known)
    return known[flags]


def _try(flags):
    """The exit status of a process that reads these; None if it could not end."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY],
            env=os.environ | {"XLA_FLAGS": flags},
            capture_output=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode


def _file():
    return files.cache_folder() / "xla_options.json"


def _remembered():
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError, UserError):  # None yet, a damaged one, or no home.
        return {}
    return found if isinstance(found, dict) else {}


def _remember(version, known):
    newest = dict(list(known.items())[-_REMEMBERED:])
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        files.write_json(_file(), _remembered() | {version: newest})
    except (OSError, UserError):
        return  # It is asked again the next time.
