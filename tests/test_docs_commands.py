"""Commands and messages in the documents: flags, settings and sentences exist."""

import ast
import importlib
import pathlib
import re
import shlex

import pytest

from cyclegan_jax.__main__ import COMMANDS
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.settings import SETTINGS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "CHANGELOG.md"})
BLOCK = re.compile(r"(?ms)^ *```(\w*)\n(.*?)^ *```")
PROGRAM = re.compile(
    r"(?:(train|evaluate|translate)\.py|(?:cyclegan-jax|python -m cyclegan_jax) (\w+)"
    r"|python -m cyclegan_jax\.(\w+))((?: .*)?)$"
)
GROUPS = {name.partition(".")[0] for name in SETTINGS if "." in name}
SETTING = re.compile(  # Not jax.config.update, nor cogan.py.
    rf"(?<!jax\.)config\.([a-z_0-9.]+)|\b((?:{'|'.join(GROUPS)})\.(?!py\b)[a-z_0-9]+)"
)
# Flags of other programs, by which they are passed on or explained.
OTHERS = {
    "mca",
    "nodes",
    "quiet",
    "recurse",
    "signal",
    "spot",
    "version",
    "worker",
    "zone",
}
OTHERS |= {"build", "check", "command", "gpus", "ntasks", "eval", "accelerator"}
OTHERS |= {"nproc_per_node"}  # torchrun


def commands(text):
    """Yields (name, arguments) of our programs in the fenced blocks of a page."""
    for language, block in BLOCK.findall(text):
        if language == "python":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if not (found := PROGRAM.search(line)):
                continue
            *names, rest = found.groups()
            rest = re.sub(r"\$\{?\w+\}?", "1", re.split(r"[ \"][&|]|;", rest)[0])
            given = shlex.split(rest.rstrip('"'), comments=True)
            name = next(filter(None, names))
            yield name, [word for word in given if word not in ("...", "RUN.JSON")]


def code(text):
    """The code in a page: its blocks, except Python's, and that in lines."""
    yield from (
        block for language, block in BLOCK.findall(text) if language != "python"
    )
    yield from re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def check(name, given):
    """Parses a command's flags, with its config, as the command does."""
    of_file = {path.partition(".")[0]: path for path, _ in COMMANDS.values()}
    of_name = {name: path for name, (path, _) in COMMANDS.items()}
    module = importlib.import_module(f"cyclegan_jax.{(of_file | of_name)[name]}")
    arguments.parse(module.parser(), given)


def unknown_settings(text):
    names = {a.strip(".") or b for span in code(text) for a, b in SETTING.findall(span)}
    files = {"py", "json"}  # config.json
    return names - set(SETTINGS) - GROUPS - files


def unknown_flags(text):
    """Flags that no program has. Ours have no hyphens."""
    known = set(OTHERS)
    for folder in ("cyclegan_jax", "benchmarks", "examples"):
        for file in ROOT.glob(f"{folder}/**/*.py"):
            known |= set(re.findall(r'"(?:--)?([a-z]\w*)"', file.read_text()))
    for file in ROOT.glob("benchmarks/*.sh"):
        known |= set(re.findall(r"--([a-z]\w*)", file.read_text()))
    flag = re.compile(r"(?<![\w-])--([a-z][\w-]*)")
    names = {name for span in code(text) for name in flag.findall(span)}
    names = {name for name in names if "-" not in name and "xla_" not in name}
    return {name for name in names if not {name, name.removeprefix("no")} & known}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    for name, given in commands(text):
        check(name, given)
    assert unknown_settings(text) == set()
    assert unknown_flags(text) == set()
    for language, block in BLOCK.findall(text):
        if language == "python":
            ast.parse(block)


def test_commands_are_found():
    """Lines that are continued, commented, or within loops and quotes."""
    text = (
        "```\nsrun python train.py --config=a \\\n    --workdir=b  # And more.\n"
        "until python train.py ...; do s=$?; done\n"
        'ssh --command="python -m cyclegan_jax.plan --topology=v6e:1x1"\n'
        "for i in 0 1; do cyclegan-jax translate --output=$OUT x.png & done\n```\n"
    )
    assert list(commands(text)) == [
        ("train", ["--config=a", "--workdir=b"]),
        ("train", []),
        ("plan", ["--topology=v6e:1x1"]),
        ("translate", ["--output=1", "x.png"]),
    ]


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("train", "--config=configs/horse2zebra.py --config.batchsize=4"),
        ("train", "--config=configs/horse3zebra.py"),
        ("train", "--config=configs/folder.py --config.seed=one"),
        ("evaluate", "--workdirs=x"),
        ("plan", "--config=configs/streets.py --topologie=cpu"),
    ],
)
def test_mistakes_are_found(name, flag):
    with pytest.raises(UserError):
        check(name, flag.split())


def test_unknown_names_are_found():
    assert unknown_settings(
        "`loss.cycle` `--config.sed=1` `loss.gan` `config.json`"
    ) == {
        "loss.cycle",
        "sed",
    }
    assert unknown_flags("`--stepp=best` `--step=best` `--noaverage`") == {"stepp"}


def sentences():
    """The texts in the package's code, with ... where values are put in."""
    for file in ROOT.glob("cyclegan_jax/**/*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if node in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "...") for part in node.values]
                yield "".join(x if isinstance(x, str) else "..." for x in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages():
    """Those in the troubleshooting's table of refusals are what the programs print."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    table = text.partition("| message |")[2].partition("\n\n")[0]
    messages = re.findall(r"(?m)^\| `(.*?)` \|", table)
    assert len(messages) > 5
    known = list(sentences())
    for message in messages:
        parts = message.removesuffix(" BtoA").split(" ... ")
        assert any(all(part in sentence for part in parts) for sentence in known), (
            message
        )
