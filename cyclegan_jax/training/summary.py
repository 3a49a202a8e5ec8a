"""The summary that a run prints at its start, and its speed."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax

from cyclegan_jax.core.methods.interface import settings
from cyclegan_jax.core.networks.convolutions import bfloat16
from cyclegan_jax.data import fingerprint

if TYPE_CHECKING:
    from cyclegan_jax.training.trainer import Trainer

# The time to go is estimated after at least so many steps and seconds.
_FORECAST_STEPS, _FORECAST_SECONDS = 3, 10.0
_LONG = 2 * 86400.0  # Seconds; a longer run is worth a warning.


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


class Forecast:
    """Estimates, from a run's first steps, how long the others take."""

    def __init__(self):
        """Measures from the end of the first step on, which includes compilation."""
        self._start: tuple[int, float] | None = None
        self._told = False

    def after_step(self, step: int, total: int, losses: Mapping[str, jax.Array]) -> str:
        """Returns the estimate, once there is one; else "".

        Args:
          step: finished steps.
          total: steps of the whole run.
          losses: of this step, perhaps still being computed.
        """
        if self._told:
            return ""
        if self._start is None:
            jax.block_until_ready(losses)
            self._start = step, time.perf_counter()
            return ""
        steps = step - self._start[0]
        if steps < _FORECAST_STEPS or (
            time.perf_counter() - self._start[1] < _FORECAST_SECONDS
        ):
            return ""
        self._told = True
        jax.block_until_ready(losses)  # Steps are started before others have ended.
        each = (time.perf_counter() - self._start[1]) / steps
        return forecast(each, total - step)


def forecast(seconds: float, steps: int) -> str:
    """Describes how long steps take, with a warning if that is more than two days.

    Args:
      seconds: for one step.
      steps: how many are left.
    """
    left = seconds * steps
    text = (
        f"{'time':9s} about {duration(left)} for the other {steps:,} steps, at"
        f" {seconds:.2g} s a step, without evaluations"
    )
    if left > _LONG:
        text += (
            "\nwarning: that is longer than two days. Ctrl-C saves and stops the run,"
            " and the same command resumes it, also on other devices. Shorter: on a"
            " GPU or TPU, or a new run with smaller images (--config.data.load_size=143"
            " --config.data.crop_size=128) or fewer epochs"
            " (--config.optimizer.constant_epochs and decay_epochs)."
        )
    return text


def duration(seconds: float) -> str:
    """Describes a time in its most fitting unit, such as "3.5 hours"."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            count = seconds / length
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.1f} {unit}"
    return f"{seconds:.0f} seconds"


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
        f" {devices.per_device} a device, {precision(config.compute_dtype)}",
        "data": f"{dataset.name}: {len(dataset.train_a):,} + {len(dataset.train_b):,}"
        f" images to train on, {len(dataset.test_a):,} + {len(dataset.test_b):,}"
        f" to test, at {trainer.image_size[0]}x{trainer.image_size[1]}",
        "values": _values(trainer.experiment.pixels),
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


def precision(dtype: str) -> str:
    """Names the type that networks compute in, and says if it does not pay here.

    Args:
      dtype: a run's `compute_dtype`.
    """
    on_cpu = jax.default_backend() == "cpu"
    if dtype == "bfloat16" and on_cpu and not bfloat16.uses_matrix_unit():
        return f"{dtype}, which is slower than float32 on this processor"
    return dtype


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


def _values(pixels):
    """What measured values there are, for the summary; "" for pictures alone."""
    return "; ".join(
        f"{domain.upper()} {kind.describe()}, {kind.counted}, of which"
        f" {', '.join(map(str, kind.shown))} shown"
        for domain, kind in (("a", pixels.a), ("b", pixels.b))
        if kind.measured
    )


def _changes(changes):
    """The settings that this resumption changes, for the summary."""
    if not changes:
        return {}
    pairs = (f"{name} {old!r} -> {new!r}" for name, (old, new) in changes.items())
    return {"changes": ", ".join(pairs)}
