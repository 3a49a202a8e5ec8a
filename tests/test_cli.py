"""Mistakes on the command line: one sentence and status 2, and no traceback."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
STREETS = "--config=configs/streets.py:smoke"


def train(*arguments):
    return subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--config is missing"),
        (("--config=configs/zebra.py",), "No such file or directory"),
        (("--config=configs/zebra.py", "--config.seed=1"), "configs/zebra.py"),
        (("--config=configs/streets.py:tiny",), "unknown variant 'tiny'"),
        ((STREETS, "--config.batchsize=4"), "did you mean 'batch_size'?"),
        ((STREETS, "--config.loss.zzz=4"), "no setting 'zzz'"),
        ((STREETS, "--config.batch_size=four"), "'four'"),
        ((STREETS, "--workdirs=x"), "workdirs"),
        ((STREETS, "more"), "unexpected argument 'more'"),
    ],
)
def test_mistakes(arguments, message):
    result = train(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("MemoryError()", 2, "error: out of memory; what helps"),
        ("RuntimeError('RESOURCE_EXHAUSTED: 9 GiB')", 2, "error: out of memory; what"),
        ("OSError(28, 'No space left', 'x')", 2, "error: No space left: x\n"),
        ("RuntimeError('a bug')", 1, "Traceback"),
    ],
)
def test_what_goes_wrong_at_run_time(error, status, message):
    """Bugs keep their tracebacks; what a user can mend gets a sentence."""
    program = f"""
from cyclegan_jax import cli
def main():
    raise {error}
cli.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == status
    assert done.stderr.startswith(message)


def test_help():
    result = train("--help")
    assert "--workdir" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_command_trains(tmp_path):
    result = train(STREETS, f"--workdir={tmp_path}/run", "--config.max_steps=2")
    assert result.returncode == 0, result.stderr
    assert "Finished steps 1 to 2" in result.stdout
    assert (tmp_path / "run/index.html").exists()
