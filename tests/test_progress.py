"""Progress in a terminal and in a log file."""

import io
import sys

import pytest

from cyclegan_jax import progress
from cyclegan_jax.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def written(monkeypatch):
    """Replaces standard error; returns a function that works and gives what came."""

    def work(stream, every, **kwargs):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress, "EVERY", every)
        with Progress(total=4000, file=stream, mininterval=0, **kwargs) as bar:
            for _ in range(4):
                bar.update(1000)
                bar.set_postfix({"loss": "0.50"}, refresh=False)
                Progress.write("left out: a.png", file=stream)
                if kwargs.get("by_hand"):
                    bar.line()
        return stream.getvalue()

    return work


def test_a_terminal_has_a_bar(written):
    assert "\r" in written(Terminal(), 0.0)


def test_a_log_file_has_lines(written):
    text = written(io.StringIO(), 0.0, desc="loading", unit=" images")
    assert "\r" not in text
    lines = text.splitlines()
    assert lines.count("left out: a.png") == 4
    assert "loading: 1,000 of 4,000 images" in lines
    assert lines[-1] == "loading: 4,000 of 4,000 images, loss=0.50"


def test_short_work_writes_nothing_of_its_own(written):
    assert written(io.StringIO(), 30.0) == "left out: a.png\n" * 4
    assert written(io.StringIO(), 0.0, disable=True) == "left out: a.png\n" * 4


def test_lines_by_hand(written):
    lines = written(io.StringIO(), 0.0, by_hand=True, unit="step").splitlines()
    ours = [line for line in lines if line != "left out: a.png"]
    assert ours == [f"{i},000 of 4,000 steps, loss=0.50" for i in (1, 2, 3, 4)]
