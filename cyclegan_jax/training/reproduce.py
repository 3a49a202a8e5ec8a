"""Reruns a run from its run.json, and reports what is different now."""

import json
from collections.abc import Mapping
from typing import Any

import ml_collections
from etils import epath

from cyclegan_jax.data.fingerprint import fingerprint, same_images
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, hosts
from cyclegan_jax.runs import comparing, configuration
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import complete_steps
from cyclegan_jax.runs.experiment import Experiment, load_dataset
from cyclegan_jax.training import loop


def reproduce(path: epath.Path, workdir: epath.Path) -> int:
    """Trains again the run that a run.json describes.

    Args:
      path: of the run.json.
      workdir: folder of the new run.

    Returns:
      The exit status of the training; 1 if the new run should have been bit-exact and
      is not.

    Raises:
      UserError: it cannot be read, or describes no training run.
    """
    try:
        about = json.loads(path.read_text())
        configs = stages(path.parent, about)
        for config in configs:
            Experiment.of(config)
        environment.prepare(
            compute_dtype=configs[0].compute_dtype,
            deterministic=configs[0].deterministic,
            same_bits=any(config.same_bits for config in configs),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not describe a run that can be done again ({error!r})."
        ) from error
    level = environment.Level.STATISTICAL
    if hosts.is_main():
        changed = environment.differences(about) + environment.uncommitted()
        changed += other_data(about, configs[-1])
        level = environment.expected(
            changed,
            same_bits=all(config.same_bits for config in configs),
            deterministic=configs[0].deterministic,
        )
        print(_describe(path, changed, level))
        for note in run_folder.resumptions(about):
            how = "; ".join(map(str, note["changed"])) or "all as at the start"
            print(f"That run was resumed after step {note.get('after_step')}: {how}.")
    for number, config in enumerate(configs):
        if status := loop.train(config, workdir, allow_changes=number > 0):
            return status
    return _compare(path.parent, workdir, level) if hosts.is_main() else 0


def _compare(original, workdir, level):
    """Compares with the original, where it is known what to expect; the status."""
    there = complete_steps(original)  # None where run.json is alone.
    if level == environment.Level.BIT_EXACT and there:
        found = comparing.compare(original, workdir)
        print("\n".join(found) or f"{original} and {workdir} are {level}.")
        return 1 if found else 0
    print(f"Compare: python -m cyclegan_jax.fingerprint {original} {workdir}")
    return 0


def stages(
    workdir: epath.Path, about: Mapping[str, Any]
) -> list[ml_collections.ConfigDict]:
    """Returns the successive configs of a run; all but the last end early.

    How long the run was in the end, where its data are now, and the like come from its
    config.json.
    """
    flat, ends = configuration.flatten(configuration.complete(about["config"])), []
    configs = []
    for note in run_folder.resumptions(about):
        if settings := note.get("settings"):
            configs.append(flat)
            ends.append({"max_steps": note["after_step"]})
            flat = flat | {name: new for name, (_, new) in settings.items()}
    configs.append(flat)
    ends.append({})
    free = {}
    if (workdir / "config.json").exists():
        now = run_folder.read_config(workdir)
        if not configuration.differences(configuration.nest(flat), now):
            free = configuration.free(now)
    return [
        ml_collections.ConfigDict(configuration.nest(stage | free | end))
        for stage, end in zip(configs, ends, strict=True)
    ]


def other_data(
    about: Mapping[str, Any], config: ml_collections.ConfigDict
) -> list[str]:
    """Lists the splits whose images differ from those in a run.json."""
    then = about.get("data")
    if not isinstance(then, dict) or not config.data.fingerprint:
        return []
    now = fingerprint(load_dataset(config))
    changed = [s for s in now if not same_images(then.get(s), now[s])]
    return [f"data.{split}: {then.get(split)} -> {now[split]}" for split in changed]


def _describe(path, changed, level):
    expected = f"expect results that are {level} (docs/reproducibility.md)"
    if not changed:
        return f"Everything is as {path} says: {expected}."
    lines = "\n  ".join(changed)
    return f"{len(changed)} things are not as {path} says; {expected}:\n  {lines}"
