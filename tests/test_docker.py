"""The Dockerfile's steps, carried out without Docker, in a new environment."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text()


def instructions():
    """Yields (name, rest) for each instruction; continued lines are joined."""
    lines = (line for line in TEXT.splitlines() if not line.startswith("#"))
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, rest = line.split(maxsplit=1)
            yield name, rest


def copy(sources, folder):
    """COPY, of the files that git knows."""
    command = ["git", "ls-files", "-z", *sources]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """What the steps leave: a folder, its environment variables and its entry point."""
    top = tmp_path_factory.mktemp("image")
    venv.create(top / "python", with_pip=True)  # Stands for the base image.
    environment = dict(os.environ, PATH=f"{top}/python/bin:{os.environ['PATH']}")
    folder, last = top, {}
    for name, rest in instructions():
        if name == "FROM":
            assert re.match(r"python:(\d+\.\d+)-", rest)[1] == "3.11"
        elif name in ("ARG", "ENV"):
            key, _, value = rest.partition("=")
            environment[key] = value.replace("/tmp/", f"{top}/")
        elif name == "WORKDIR":
            folder = top / rest.lstrip("/")
            folder.mkdir()
        elif name == "COPY":
            copy(rest.split()[:-1], folder)
        elif name == "RUN":
            subprocess.run(["sh", "-ec", rest], cwd=folder, env=environment, check=True)
        else:
            assert name in ("ENTRYPOINT", "CMD")
            last[name] = json.loads(rest)
    return folder, environment, last


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image has Python 3.11")
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ([], "usage: cyclegan-jax COMMAND"),
        (["train", "--config=streets:smoke"], "Finished steps 1 to 8"),
    ],
)
def test_the_image_trains(image, arguments, output):
    folder, environment, last = image
    command = [*last["ENTRYPOINT"], *(arguments or last["CMD"])]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert output in done.stdout


def test_accelerators():
    """What the Dockerfile's first lines offer is what the installed JAX has."""
    offered = re.search(r"--build-arg ACCELERATOR=(\w+) .*; or (\w+)", TEXT).groups()
    known = importlib.metadata.metadata("jax").get_all("Provides-Extra")
    assert set(offered) <= set(known)
    assert '"jax[$ACCELERATOR]"' in TEXT
