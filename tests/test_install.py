"""What newcomers meet: the installed package, one program, configs by name."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import cyclegan_jax
from cyclegan_jax.__main__ import COMMANDS
from cyclegan_jax.cli import arguments, config_files, installed, pytorch_options
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation import __main__ as evaluation
from cyclegan_jax.training import __main__ as training
from cyclegan_jax.translation import __main__ as translation

ROOT = pathlib.Path(__file__).parent.parent


def run(*command, cwd, **environment):
    """Runs a program; the repository is not where it looks for modules."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist of the files that git would have."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    done = run(*(sys.executable, "-m", "build", "-o", source / "dist"), cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    return source


@pytest.mark.slow
def test_the_wheel_and_the_sdist(built):
    (wheel,), (sdist,) = built.glob("dist/*.whl"), built.glob("dist/*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    modules = {
        str(path.relative_to(built))
        for path in (*built.glob("cyclegan_jax/**/*.py"), *built.glob("configs/*.py"))
    }
    assert modules <= packed
    assert {re.sub("^configs/", "cyclegan_jax/configs/", m) for m in modules} <= names
    assert "cyclegan_jax/pages/templates/training.html" in names
    for name in (*names, *packed):
        assert not name.startswith(("tests", "build", "runs"))
    for name in names:
        assert name.startswith(("cyclegan_jax/", "cyclegan_jax-"))


@pytest.mark.slow
def test_it_trains_where_it_is_installed(built, tmp_path):
    """In an environment of its own that borrows the dependencies from this one."""
    (wheel,) = built.glob("dist/*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"])
    python = tmp_path / "env/bin/python"
    target = next(tmp_path.glob("env/lib/python*/site-packages"))
    (target / "borrowed.pth").write_text(str(pathlib.Path(pytest.__file__).parents[1]))
    install = ("-m", "pip", "--python", python, "install", "--no-deps", wheel)
    done = run(sys.executable, *install, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    program = tmp_path / "env/bin/cyclegan-jax"
    assert run(program, "--version", cwd=tmp_path).stdout == (
        f"cyclegan_jax {cyclegan_jax.__version__}\n"
    )
    listed = run(program, "configs", cwd=tmp_path).stdout
    assert "horse2zebra " in listed
    assert str(target) in run(program, "configs", "horse2zebra", cwd=tmp_path).stdout
    for config in ("streets:smoke", "configs/streets.py:smoke"):
        flags = (f"--config={config}", "--config.max_steps=1")
        done = run(program, "train", *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "Already finished" in done.stdout
    lines = (
        "from cyclegan_jax import Translator, load_config, train",
        "config = load_config('streets:smoke', {'max_steps': 1})",
        "assert train(config, 'runs/streets-smoke') == 0",
        "import numpy as np",
        "pixels = np.zeros((20, 24, 3), np.uint8)",
        "translator = Translator.load('runs/streets-smoke', 'AtoB')",
        "print(translator(pixels).shape)",
    )
    done = run(python, "-c", "\n".join(lines), cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["(20, 24, 3)"], done.stderr


def test_the_package_is_imported_in_no_time():
    """What takes seconds is imported when it is asked for."""
    program = "import sys, cyclegan_jax; print('jax' in sys.modules, dir())"
    assert run(sys.executable, "-c", program, cwd=ROOT).stdout.startswith("False")
    assert set(cyclegan_jax.__all__) >= {"Translator", "load_config", "train"}
    with pytest.raises(AttributeError, match="trains"):
        cyclegan_jax.trains  # noqa: B018


def test_the_list_of_commands():
    for given in ((), ("--help",), ("help",)):
        done = run(sys.executable, "-m", "cyclegan_jax", *given, cwd=ROOT)
        assert done.returncode == 0
        for name in COMMANDS:
            assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


def test_mistyped_commands():
    done = run(sys.executable, "-m", "cyclegan_jax", "trian", cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == ("error: there is no command 'trian'; did you mean train?\n")


def test_configs_by_name():
    for name in config_files.names():
        path = config_files.locate(f"{name}:smoke")
        assert path == f"{ROOT}/configs/{name}.py:smoke"
        title = config_files.describe(config_files.shipped(name)).partition("\n")[0]
        assert title.endswith(".")
    config = cyclegan_jax.load_config("pix2pix:facades", {"batch_size": 4})
    assert (config.method, config.batch_size) == ("pix2pix", 4)
    with pytest.raises(UserError, match="'batchsize'; did you mean 'batch_size'"):
        cyclegan_jax.load_config("pix2pix", {"batchsize": 4})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("zebra", "no config 'zebra'; did you mean horse2zebra?"),
        ("horse2zebar:smoke", "did you mean horse2zebra?"),
        ("configs/horse2zebra.yaml", "--config=horse2zebra"),
        ("conf/horse2zebra.py", "--config=horse2zebra is the one"),
        ("configs/monet2foto.py", "did you mean"),
        ("qqq", "`python -m cyclegan_jax configs`"),
    ],
)
def test_mistyped_configs(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # And from another folder than the clone.
    with pytest.raises(UserError) as error:
        config_files.locate(given)
    assert said in str(error.value)


def test_own_configs_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.locate("configs/maps.py") == f"{ROOT}/configs/maps.py"
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs/maps.py", tmp_path / "configs/maps.py")
    assert config_files.locate("configs/maps.py") == "configs/maps.py"
    with pytest.raises(UserError, match=r"did you mean configs/maps\.py"):
        config_files.locate("configs/map.py")
    assert arguments.read_config("configs/maps.py:smoke").max_steps == 8


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("learning_rate", "'optimizer.learning_rate'"),
        ("crop_size", "'data.crop_size'"),
        ("data.batch_size", "'batch_size'"),
        ("optimizer.lr_rate", "'optimizer.learning_rate'"),
        ("loss.identiti", "'loss.identity'"),
        ("xyz", "configs/default.py has them all"),
    ],
)
def test_mistyped_settings(setting, said):
    with pytest.raises(UserError) as error:
        arguments.read_config("streets", [f"--config.{setting}=1"])
    assert f"there is no setting {setting!r}" in str(error.value)
    assert said in str(error.value)


def test_flags_of_the_pytorch_code():
    """Each is answered, and what is named exists here."""
    for parser in (training.parser(), evaluation.parser(), translation.parser()):
        known = arguments.known_flags(parser)
        for name in (*pytorch_options.OPTIONS, *pytorch_options.RENAMED):
            if f"--{name}" in known:
                continue
            with pytest.raises(UserError, match=f"no flag --{name}[;,]") as error:
                arguments.parse(parser, [f"--{name}=1"])
            for flag in re.findall(r"--[a-z]\w*", str(error.value))[1:-1]:
                assert flag in known or flag in ("--config", "--devices"), flag


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("horse2zebra", "did you mean --config=horse2zebra?"),
        ("configs/pix2pix.py:maps", "did you mean --config=configs/pix2pix.py:maps?"),
        ("config.seed=4", "did you mean --config.seed=4?"),
        ("-workdir=x", "did you mean --workdir=x?"),
        ("xyz", "unexpected argument 'xyz'; see"),
    ],
)
def test_arguments_without_their_flag(given, said):
    with pytest.raises(UserError, match=r"unexpected argument") as error:
        arguments.parse(training.parser(), [given])
    assert said in str(error.value)


def test_settings_that_errors_name_exist():
    config = arguments.read_config("default")
    named = " ".join(map(str, pytorch_options.OPTIONS.values()))
    settings = re.findall(r"--config\.([\w.]+\w)", named)
    settings += [one.setting for one in pytorch_options.OPTIONS.values() if one.setting]
    for name in settings:
        group = config
        for part in name.split("."):
            group = group[part]


def test_packages_are_all_looked_for():
    wanted = re.findall(r"(?m)^([\w.-]+)", (ROOT / "requirements.txt").read_text())
    wanted = {name.replace("-", "_").lower() for name in wanted}
    provided = importlib.metadata.packages_distributions()
    found = {
        distribution.replace("-", "_").lower()
        for name in installed.PACKAGES
        for distribution in provided[name]
    }
    assert wanted <= found


@pytest.mark.parametrize("program", ["train.py", "evaluate.py", "translate.py"])
def test_before_the_installation(program, tmp_path):
    """`python -S` has no packages, like a new machine."""
    done = run(sys.executable, "-S", program, "--config=streets", cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert re.match(r"error: \d+ packages are missing \(absl, ", done.stderr)
    assert installed.problem() == ""


def test_on_an_old_python():
    program = "import sys; sys.version_info = (3, 9, 2); import runpy"
    program += "; runpy.run_path('train.py', run_name='__main__')"
    done = run(sys.executable, "-c", program, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == (
        "error: cyclegan_jax needs Python 3.11 or newer, and this is Python 3.9; name a"
        " newer one: make venv PYTHON=python3.12\n"
    )


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make():
    done = run("make", cwd=ROOT)
    assert done.returncode == 0
    for target in ("venv", "demo", "test", "docs"):
        assert f"make {target} " in done.stdout
    assert "pytest" in run("make", "-n", "tests", cwd=ROOT).stdout
    done = run("make", "demmo", cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no 'make demmo'; 'make' alone")
    done = run("make", "venv", "PYTHON=nothing", "VENV=nowhere", cwd=ROOT)
    assert "error: Python 3.11 or newer is needed" in done.stdout
