"""How long a run will take, from its first steps."""

import jax.numpy as jnp
import pytest

from cyclegan_jax.training import summary


class Clock:
    """Stands in for the machine's; a step takes so many seconds."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 1000.0, seconds
        monkeypatch.setattr(summary.time, "perf_counter", lambda: self.now)

    def forecast(self, total, first=1):
        """What is said, after which step."""
        forecast, said = summary.Forecast(), {}
        self.now += 60.0  # Compilation.
        for step in range(first, min(total, 300) + 1):
            if text := forecast.after_step(step, total, {"x": jnp.zeros(())}):
                said[step] = text
            self.now += self.seconds
        return said


def test_the_published_setting_on_two_cores(monkeypatch):
    """266,800 steps of 7.525 s are 23.2 days: docs/performance.md."""
    said = Clock(monkeypatch, 7.525).forecast(266_800)
    ((step, text),) = said.items()
    assert step == 4
    assert "about 23 days for the other 266,796 steps, at 7.5 s a step" in text
    assert "warning: that is longer than two days" in text


def test_a_short_run_is_no_reason_to_warn(monkeypatch):
    said = Clock(monkeypatch, 0.125).forecast(2000)
    ((step, text),) = said.items()
    assert step == 81  # After ten seconds.
    assert "about 4.0 minutes for the other 1,919 steps, at 0.12 s a step" in text
    assert "warning" not in text


def test_a_resumed_run_counts_what_is_left(monkeypatch):
    said = Clock(monkeypatch, 4.0).forecast(43_210, first=10)
    assert "about 2.0 days for the other 43,197 steps" in said[13]


def test_a_run_of_seconds_has_no_forecast(monkeypatch):
    assert Clock(monkeypatch, 0.5).forecast(8) == {}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (9.6, "10 seconds"),
        (89, "89 seconds"),
        (90, "1.5 minutes"),
        (3600, "60 minutes"),
        (36_000, "10 hours"),
        (2.5 * 86400, "2.5 days"),
    ],
)
def test_durations(seconds, said):
    assert summary.duration(seconds) == said


@pytest.mark.parametrize("unit", [True, False])
def test_bfloat16_that_does_not_pay(unit, monkeypatch):
    monkeypatch.setattr(summary.bfloat16, "uses_matrix_unit", lambda: unit)
    assert ("slower than float32" in summary.precision("bfloat16")) == (not unit)
    assert summary.precision("float32") == "float32"
