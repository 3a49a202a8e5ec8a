"""The notebook examples/tour.ipynb: executed as Jupyter does, with small parameters."""

import os
import pathlib
import subprocess
import sys
import types

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = pathlib.Path(__file__).parent.parent
SMALL = 'CONFIG, STEPS, WORKDIR = "streets:smoke", 4, "run"'


@pytest.fixture
def notebook():
    found = nbformat.read(ROOT / "examples/tour.ipynb", as_version=4)
    nbformat.validate(found)
    return found


def code(notebook):
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def test_it_is_committed_without_outputs(notebook):
    """They would be reviewed in every change; readers make their own."""
    for cell in code(notebook).values():
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_runs(notebook, tmp_path, monkeypatch):
    cells = code(notebook)
    assert "parameters" in cells["parameters"].metadata.tags
    cells["parameters"].source = SMALL
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=folder
    )
    client.execute()

    def text(name):
        return "".join(o.text for o in cells[name].outputs if o.output_type == "stream")

    def shows_a_picture(name):
        return any("image/png" in o.get("data", {}) for o in cells[name].outputs)

    assert "Repeating this notebook" in text("device")
    assert "fake_b   float32 [1, 32, 32, 3]" in text("networks")
    first, _, last = text("step").splitlines()
    assert float(first.split()[-1]) > float(last.split()[-1])  # d_b learns.
    assert "largest difference:" in text("export")
    assert cells["train"].outputs[-1].data["text/plain"] == "0"
    for name in ("data", "look", "translate"):
        assert shows_a_picture(name)
    assert (tmp_path / "run/index.html").is_file()
    assert (tmp_path / "run/labels.stablehlo").is_file()


@pytest.mark.parametrize("gpu", [True, False])
def test_it_installs_on_colab(notebook, monkeypatch, gpu):
    source = code(notebook)["install"].source
    calls = []
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("colab"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: name if gpu else None)
    monkeypatch.setattr(subprocess, "run", lambda args, check: calls.append(args))
    with pytest.raises(ValueError, match="REPOSITORY"):
        exec(source, {})
    exec(source.replace('REPOSITORY = ""', 'REPOSITORY = "https://x/y.git"'), {})
    (command,) = calls
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    packages = ["git+https://x/y.git", *(["jax[cuda12]"] if gpu else [])]
    assert command[5:] == packages


def test_it_finds_the_clone(notebook, monkeypatch):
    source = code(notebook)["install"].source
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(ROOT / "examples")
    exec(source, {})
    assert os.path.samefile(os.getcwd(), ROOT)
    assert sys.path[0] == str(ROOT)
