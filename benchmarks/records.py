"""What every benchmark prints and keeps: a table, and one line of JSON."""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import platform
import subprocess
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "torch", "numpy", "grain")


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser whose help shows a module's docstring as it is written."""
    layout = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=layout)


def environment(device: str) -> dict[str, Any]:
    """Returns what the numbers depend on: machine, versions, commit."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device,
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _git("describe", "--always", "--dirty", "--abbrev=12"),
    }


def append(path: str, record: dict[str, Any]) -> None:
    """Adds one line of JSON to a file."""
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        out.write(json.dumps(record) + "\n")


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Prints a Markdown table with aligned columns."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def _processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = [
        line.partition(":")[2].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def _git(*arguments):
    folder = pathlib.Path(__file__).parent
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
