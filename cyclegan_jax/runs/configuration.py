"""Completes, checks and compares configs, using the table of settings."""

from collections.abc import Mapping
from typing import Any

import ml_collections
from etils import epath

from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.setting import Change
from cyclegan_jax.runs.settings import SETTINGS

# Settings whose change gives networks that do not fit those of a run.
_OF_NETWORKS = (
    "method",
    "generator.",
    "discriminator.",
    "data.channels_",
    "cogan.",
    "cut.",
)


def defaults() -> ml_collections.ConfigDict:
    """Returns all settings at their defaults."""
    return ml_collections.ConfigDict(complete({}))


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config with defaults for the settings that it lacks.

    Args:
      config: nested, such as {"data": {"path": ""}}.
    """
    absent = {name: setting.default for name, setting in SETTINGS.items()}
    return nest(absent | flatten(config))


def free(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings, by flat name, that do not change what a run computes."""
    return {
        name: value
        for name, value in flatten(config).items()
        if name in SETTINGS and SETTINGS[name].change is Change.FREE
    }


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns {"data": {"path": ""}} into {"data.path": ""}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`.

    Raises:
      UserError: a name is that of a setting and of a group of settings.
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        part = nested
        for group in groups:
            part = part.setdefault(group, {})
            if not isinstance(part, dict):
                raise UserError(f"{group} is {part!r}; it must be a group of settings.")
        if isinstance(part.get(last), dict):
            raise UserError(f"{name} is {value!r}; it must be a group of settings.")
        part[last] = value
    return nested


def check(config: ml_collections.ConfigDict) -> None:
    """Checks every setting separately.

    Raises:
      UserError: a setting is missing or unknown, or has a wrong type or value.
    """
    flat = flatten(config.to_dict())
    if unknown := sorted(set(flat) - set(SETTINGS)):
        raise UserError(
            f"there is no setting {unknown[0]}; cyclegan_jax/runs/settings.py has them"
            " all. (A run of a newer version needs that version.)"
        )
    for name, setting in SETTINGS.items():
        if name not in flat:
            raise UserError(f"the config lacks {name}; configs/default.py has it.")
        setting.check(name, flat[name])


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, tuple[Any, Any, Change]]:
    """Returns setting -> (old, new, whether allowed), without free settings.

    Args:
      old: the config of a run.
      new: the config to resume it with.
    """
    old, new = flatten(complete(old)), flatten(complete(new))
    changed = {}
    for name in sorted(set(old) | set(new)):
        change = SETTINGS[name].change if name in SETTINGS else Change.NEVER
        pair = [flat.get(name, "(not set)") for flat in (old, new)]
        if change is not Change.FREE and pair[0] != pair[1]:
            changed[name] = (*pair, change)
    return changed


def advise_another_run(
    changed: Mapping[str, tuple[Any, Any, Change]], workdir: epath.PathLike
) -> str:
    """Says what to do where a run's checkpoints do not fit new settings.

    Args:
      changed: see `differences`.
      workdir: the run's folder.
    """
    advice = (
        "The checkpoints of this run do not fit the new settings. Use the same settings"
        " to resume it, or another --workdir for another run"
    )
    never = [name for name, (*_, change) in changed.items() if change is Change.NEVER]
    if not any(name.startswith(_OF_NETWORKS) for name in never):
        advice += (
            f", which can start from this one's networks (--config.init_from={workdir})"
        )
    return f"{advice}."
