"""Mistakes on the command line: one sentence and status 2, and no traceback."""

import importlib
import io
import pathlib
import subprocess
import sys

import pytest

from cyclegan_jax import cli
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError
from cyclegan_jax.translation import __main__ as translation

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
from cyclegan_jax import cli
from cyclegan_jax.cli import arguments
def main(values):
    raise {error}
cli.run_argparse(arguments.Parser(prog="x"), main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == status
    assert done.stderr.startswith(message)


@pytest.mark.parametrize("program", ["train.py", "evaluate.py", "translate.py"])
def test_help(program):
    result = subprocess.run(
        [sys.executable, program, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0
    assert "--workdir" in result.stdout
    assert not result.stderr


COMMANDS = ["app", "export", "fingerprint", "plan", "study", "tables", "torch_weights"]


@pytest.mark.parametrize("name", [*COMMANDS, "list_configs", "train_fcn"])
def test_help_of_commands(name, capsys):
    parser = importlib.import_module(f"cyclegan_jax.{name}.__main__").parser()
    with pytest.raises(SystemExit) as leaving:
        arguments.parse(parser, ["--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m cyclegan_jax.{name} ")
    assert parser.description in shown


def example():
    """A parser with a sub-command of each kind of flag."""
    parser = arguments.Parser(prog="example")
    one = parser.add_subparsers(dest="command", required=True).add_parser("one")
    one.add_argument("files", nargs="*")
    one.add_argument("--seed", type=arguments.at_least(1), default=3)
    one.add_argument("--wait", type=arguments.positive)
    one.add_argument("--workdir", required=True)
    one.add_bool("average", True, "moving averages")
    one.add_config("settings")
    return parser


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "--workdir", "x", "b", "--seed=4", "c"], {"files": ["a", "b", "c"]}),
        (["--workdir", "x"], {"workdir": "x", "seed": 3, "average": True, "files": []}),
        (["--workdir=x", "--seed", "4"], {"seed": 4}),
        (["--workdir=x", "--average=false"], {"average": False}),
        (["--workdir=x", "--noaverage"], {"average": False}),
        (["--workdir=x", "--average"], {"average": True}),
        (["--workdir=x", "--compilation_cache="], {"compilation_cache": ""}),
    ],
)
def test_values_of_flags(given, expected):
    values = vars(arguments.parse(example(), ["one", *given]))
    assert expected.items() <= values.items()


def test_a_config_with_settings():
    given = [f"{STREETS}", "--config.seed=7", "--config.data.path", "x", "--workdir=y"]
    config = arguments.parse(example(), ["one", *given]).config
    assert (config.seed, config.data.path, config.max_steps) == (7, "x", 8)
    given = [STREETS, "--config.same_bits", "--workdir=y", "--config.seed", "3"]
    values = arguments.parse(example(), ["one", *given])
    assert (values.config.same_bits, values.config.seed) == (True, 3)
    assert values.workdir == "y"
    values = arguments.parse(example(), ["one", "--workdir=y", "--config.seed=7"])
    assert (values.config, values.overrides) == (None, ["--config.seed=7"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "missing: command; see example --help"),
        (["two"], "invalid choice: 'two'"),
        (["one"], "missing: --workdir; see example one --help"),
        (["one", "--work=x"], "did you mean --workdir?"),
        (["one", "--workdir=x", "--seeds=4"], "no flag --seeds; did you mean --seed?"),
        (["one", "--workdir=x", "--seed=0"], "--seed: 0 is less than 1"),
        (["one", "--workdir=x", "--seed=two"], "--seed: invalid integer value: 'two'"),
        (["one", "--workdir=x", "--average=no"], "'no' is neither true nor false"),
        (["one", "--workdir=x", STREETS, "--config.z=1"], "no setting 'z'"),
        (["one", "--workdir=x", "--config=no.py"], "No such file"),
        (["one", "--workdir=x", "--config="], "--config is empty"),
        (["one", "--workdir=x", "--wait=nan"], "nan is not a finite number above 0"),
        (["one", "--workdir=x", "--wait=0"], "0 is not a finite number above 0"),
        (["one", "--workdir=x", "--wait=long"], "invalid number value: 'long'"),
    ],
)
def test_mistakes_in_flags(given, message):
    with pytest.raises(UserError) as error:
        arguments.parse(example(), given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return undefined", "undefined"),
        ("return 1 / 0", "division"),
        ("return [][1]", "out of range"),
        ("return None", "returns no config"),
    ],
)
def test_mistakes_in_a_config(tmp_path, body, message):
    file = tmp_path / "mine.py"
    file.write_text(f"def get_config():\n    {body}\n")
    with pytest.raises(UserError, match=message):
        arguments.read_config(str(file))


def test_no_files_and_no_config():
    parser = arguments.Parser(prog="example")
    for argument in ("a", "--config.seed=1"):
        with pytest.raises(UserError, match=f"unexpected argument '{argument}'"):
            arguments.parse(parser, [argument])


@pytest.mark.slow
def test_the_command_trains(tmp_path):
    result = train(STREETS, f"--workdir={tmp_path}/run", "--config.max_steps=2")
    assert result.returncode == 0, result.stderr
    assert "Finished steps 1 to 2" in result.stdout
    assert (tmp_path / "run/index.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_backend_that_is_not_here(platform, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    done = train(STREETS, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"JAX_PLATFORMS={platform}" in done.stderr
    monkeypatch.delenv("JAX_PLATFORMS")  # The advice.
    done = train(STREETS, f"--workdir={tmp_path / 'run'}", "--config.max_steps=1")
    assert done.returncode == 0


def test_closed_streams_and_names_that_are_not_utf8(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert cli._status(lambda: int(sys.stderr.isatty())) == 0
    monkeypatch.undo()
    strict = io.TextIOWrapper(io.BytesIO(), "ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", strict)
    assert cli._status(lambda: print("caf\udce9 é")) is None
    strict.flush()
    assert strict.buffer.getvalue() == b"caf\\udce9 \\xe9\n"


def test_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr("sys.argv", ["translate.py", "--workdir=run", "--output=out"])
    with pytest.raises(SystemExit) as ended:
        cli.run_argparse(translation.parser(), translation.main)
    assert ended.value.code == 2
    assert "the current folder cannot be used" in capsys.readouterr().err
