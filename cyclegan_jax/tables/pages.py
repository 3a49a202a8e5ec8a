"""The tables as Markdown and JSON, and the picture grid."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import files, images
from cyclegan_jax.tables.rows import COMPARISON, TABLES, Row
from cyclegan_jax.tables.work import Job

_SCORES = ("per_pixel", "per_class", "class_iou")
_EXAMPLES = 4  # Rows of the grid.


def collect(jobs: Sequence[Job]) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Returns row key -> direction -> metrics of each seed, of all finished jobs."""
    found: dict[str, dict[str, list]] = {}
    for job in jobs:
        result = job.result() or {}
        for direction in ("AtoB", "BtoA"):
            if direction in result:
                row = found.setdefault(job.row.key, {})
                row.setdefault(direction, []).append(result[direction])
    return found


def write(output: epath.PathLike, jobs: Sequence[Job], about: Mapping[str, Any]) -> str:
    """Writes tables.md, tables.json and the grids; returns the Markdown.

    Args:
      output: the folder.
      jobs: some of them finished.
      about: what else tables.json is to say.
    """
    output, results = epath.Path(output), collect(jobs)
    markdown = "\n".join(_table(results, *table) for table in TABLES)
    if about.get("vgg") == "random":
        markdown += "\nFeature loss + GAN compares random features (--vgg=random).\n"
    (output / "tables.md").write_text(markdown)
    files.write_json(output / "tables.json", {**about, "results": results})
    for direction in ("AtoB", "BtoA"):
        grid = _grid(jobs, direction)
        if grid is not None:
            files.save_png(output / f"grid_{direction}.png", grid)
    return markdown


def _table(results, number, title, direction, rows: Sequence[Row]):
    prefix = "fcn_" if direction == "BtoA" else ""
    lines = [
        f"Table {number}: {title}",
        "",
        "| | per-pixel | per-class | class IoU | the paper's, Cityscapes |",
        "|---|---|---|---|---|",
    ]
    some = []
    for row in rows:
        found = results.get(row.key, {}).get(direction)
        paper = " / ".join(f"{value:.2f}" for value in row.paper[direction])
        cells = ["not run"] * 3
        if found:
            some = found
            cells = [_cell([m.get(prefix + name) for m in found]) for name in _SCORES]
        lines.append(f"| {row.title} | {' | '.join(cells)} | {paper} |")
    for ending, name in (
        ("of_real", "real pictures"),
        ("of_input", "inputs as they are"),
        ("by_chance", "chance"),
    ):
        keys = [f"{prefix}{score}_{ending}" for score in _SCORES]
        if some and keys[0] in some[0]:  # Labels of one channel are no photographs.
            cells = [_cell([some[0].get(key)]) for key in keys]
            lines.append(f"| *{name}* | {' | '.join(cells)} | |")
    return "\n".join([*lines, ""])


def _cell(values):
    """Mean and, over seeds, the deviation of one of them."""
    if None in values:
        return "not measured"
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def _grid(jobs, direction):
    """Input, each method of the comparison, and the truth, for a few test pairs."""
    other = "BtoA" if direction == "AtoB" else "AtoB"
    done, others = {}, []
    for job in jobs:
        if job.seed == 0 and job.result():
            if job.direction in ("", direction):
                done[job.row.key] = job
            if job.direction in ("", other):
                others.append(job)
    chosen = [done[row.key] for row in COMPARISON if row.key in done]
    chosen = [job for job in chosen if _pictures(job, direction, "input") is not None]
    if not chosen:
        return None
    columns = {"input": _pictures(chosen[0], direction, "input")}
    for job in chosen:
        columns[job.row.title] = _pictures(job, direction, "output")
    if others:  # The other direction's inputs are this one's truth.
        columns["truth"] = _pictures(others[0], other, "input")
    found = {title: column for title, column in columns.items() if column is not None}
    return images.sample_grid(found)


def _pictures(job, direction, kind):
    folder = job.folder / "evaluation" / str(job.result()["step"]) / direction / kind
    files = list(itertools.islice(_files(folder), _EXAMPLES))
    if not files:  # Deleted, for want of space.
        return None
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def _files(folder):
    """Yields the files of a folder and of those in it, if there is one."""
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path
