"""The summary that a run prints at its start, and its speed."""

import time
from typing import TYPE_CHECKING

import jax

from cyclegan_jax.core.methods.interface import settings
from cyclegan_jax.data import fingerprint

if TYPE_CHECKING:
    from cyclegan_jax.training.trainer import Trainer


class Clock:
    """Measures steps per second between calls."""

    def __init__(self, step: int):
        """Starts at a step."""
        self._step, self._time = step, time.perf_counter()

    def rate(self, step: int) -> float:
        """Returns steps per second since the last call."""
        now = time.perf_counter()
        rate = (step - self._step) / (now - self._time)
        self._step, self._time = step, now
        return rate


def summary(trainer: "Trainer") -> dict[str, str]:
    """Describes a run: a few words for each of a few headings."""
    config, dataset = trainer.config, trainer.dataset
    method = trainer.experiment.method
    devices = trainer.devices

    def parameters(name):
        return sum(x.size for x in jax.tree.leaves(trainer.state.params[name]))

    lines = {
        "run": f"{trainer.workdir}, seed {config.seed}"
        + (f", at step {trainer.step:,}" if trainer.step else ""),
        "devices": f"{devices.describe()}, batch {config.batch_size}:"
        f" {devices.per_device} a device, {config.compute_dtype}",
        "data": f"{dataset.name}: {len(dataset.train_a):,} + {len(dataset.train_b):,}"
        f" images to train on, {len(dataset.test_a):,} + {len(dataset.test_b):,}"
        f" to test, at {trainer.image_size[0]}x{trainer.image_size[1]}",
        "left out": dataset.left_out.describe(),
        "images": fingerprint.describe(trainer.traits, as_stored=config.data.as_stored),
        "in memory": trainer.cache_note,
        "hint": "; ".join(dataset.notes),
        "networks": ", ".join(f"{name} {parameters(name):,}" for name in method.modules)
        + " parameters",
        "losses": _losses(config.loss, settings(method)),
        "steps": f"{trainer.batches.steps_per_epoch:,} an epoch,"
        f" {trainer.total_steps:,} in all",
        **_changes(trainer.changes),
    }
    return {heading: text for heading, text in lines.items() if text}


def _losses(config, built):
    """The settings loss.* that a method was built with, and those it cannot use."""
    used = {name: value for name, value in built.items() if name in config}
    words = [f"{name} {value}" for name, value in used.items()]
    unused = [
        f"loss.{name}={config[name]} does not apply to these domains"
        for name, value in used.items()
        if value != config[name]
    ]
    return ", ".join(words + unused)


def _changes(changes):
    """The settings that this resumption changes, for the summary."""
    if not changes:
        return {}
    pairs = (f"{name} {old!r} -> {new!r}" for name, (old, new) in changes.items())
    return {"changes": ", ".join(pairs)}
