"""Which room of the house may know which: the order of CONTRIBUTING.md's map."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "cyclegan_jax"
# Rooms on one floor do not know each other; a room may know all floors above it here.
FLOORS = (
    ("errors", "directions"),
    ("files", "progress"),
    ("images",),
    ("core",),
    ("machine",),
    ("cli",),
    ("data", "torch_files"),
    ("metrics",),
    ("runs",),
    ("pages",),
    ("translation",),
    ("evaluation",),
    ("training",),
    (
        "app",
        "export",
        "study",
        "torch_weights",
        "plan",
        "tables",
        "fingerprint",
        "train_fcn",
    ),
    ("api", "list_configs", "from_pytorch"),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: pathlib.Path):
    """Yields the modules of the package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "cyclegan_jax":
                names = (alias.name for alias in node.names)
                yield from (name for name in names if name != "__version__")
            elif node.module.startswith("cyclegan_jax."):
                yield node.module.split(".")[1]
            if node.module.split(".")[0] == "configs":
                yield "configs"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("cyclegan_jax."):
                    yield alias.name.split(".")[1]


def room(path: pathlib.Path, package: pathlib.Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def violations(package: pathlib.Path) -> list[str]:
    bad = []
    for path in sorted(package.rglob("*.py")):
        here = room(path, package)
        if here == "__init__":
            continue
        for there in imports(path):
            if there != here and FLOOR[there] >= FLOOR[here]:
                bad.append(f"{path.relative_to(package)} imports {there}")
    return bad


def test_every_room_has_a_floor():
    rooms = {room(path, PACKAGE) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOOR)


def test_no_room_knows_one_above_it():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "there"),
    [
        ("core/losses.py", "from cyclegan_jax.machine import runtime", "machine"),
        ("metrics/fid.py", "from cyclegan_jax.runs.run import Run", "runs"),
        ("export/exporting.py", "from cyclegan_jax import study", "study"),
        ("plan/program.py", "import cyclegan_jax.tables.rows", "tables"),
    ],
)
def test_an_import_turned_round_is_seen(tmp_path, file, line, there):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(f"def f():\n    {line}\n")
    assert violations(tmp_path) == [f"{file} imports {there}"]
