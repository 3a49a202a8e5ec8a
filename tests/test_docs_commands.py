"""The commands in the documents: each has a parser, and each flag is known to it."""

import functools
import importlib.machinery
import importlib.util
import pathlib
import re
import shlex
import subprocess

import pytest

from cyclegan_jax.__main__ import COMMANDS
from cyclegan_jax.cli import arguments, config_files

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MODULES = {f"cyclegan_jax.{package}": name for name, (package, _) in COMMANDS.items()}
PROGRAMS = {f"{name}.py": name for name in ("train", "evaluate", "translate")}
OTHERS = ("maps.py", "mine.py")  # Configs that readers write.


def commands(text):
    """Yields (command, arguments) for each of ours in the blocks of a page."""
    for block in re.findall(r"(?ms)^ *```\w*\n(.*?)^ *```", text):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].split("|")[0]
            if not re.match(r" *([A-Z_]+=\S+ +)*(\S*python|cyclegan-jax) ", words):
                continue
            words = shlex.split(words)
            while "=" in words[0]:
                words.pop(0)
            program, *rest = words
            if program != "cyclegan-jax" and rest[:2] != ["-m", "cyclegan_jax"]:
                module = (rest.pop(0) == "-m" and rest.pop(0)) or words[1]
                name = PROGRAMS.get(module) or MODULES.get(module)
            else:
                name, *rest = rest[0 if program == "cyclegan-jax" else 2 :]
            if name:
                yield name, rest


@functools.cache
def flags_of(name):
    module = importlib.import_module(f"cyclegan_jax.{COMMANDS[name][0]}.__main__")
    return arguments.known_flags(module.parser())


def problems(text):
    for name, rest in commands(text):
        if name not in COMMANDS:
            yield f"no command {name}"
            continue
        for word in rest:
            flag, _, value = word.partition("=")
            known = flag in flags_of(name) or flag.startswith("--config.")
            if flag.startswith("--") and not known:
                yield f"{name}: no flag {flag}"
            if flag == "--config" and value not in OTHERS:
                config_files.locate(value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_ours(page):
    assert list(problems(page.read_text())) == []


def test_wrong_commands_are_seen():
    text = (
        "```\npython train.py --confg=x\nX=1 python -m cyclegan_jax plot --a \\\n  b\n"
    )
    text += "cyclegan-jax train --config=streets --config.seed=1  # --wrong\n```\n"
    assert list(problems(text)) == ["train: no flag --confg", "no command plot"]


def test_the_newcomers_script():
    """What .ci/readme runs: all that README.md tells newcomers to type, in order."""
    loader = importlib.machinery.SourceFileLoader("readme", str(ROOT / ".ci/readme"))
    spec = importlib.util.spec_from_loader("readme", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    readme = (ROOT / "README.md").read_text()
    script = module.script(readme, None)
    assert subprocess.run(["bash", "-n", "-c", script]).returncode == 0
    order = (
        "git clone ",
        "make venv",
        "activate",
        "runs/demo",
        "Translator",
        "my_set ",
    )
    places = [module.blocks(readme).index(word) for word in order]
    assert places == sorted(places)
    with pytest.raises(SystemExit, match="no longer have"):
        module.script("```sh\nls\n```\n", None)
