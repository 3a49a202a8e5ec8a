"""The tables as Markdown and JSON, and grids of images."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import files, images
from cyclegan_jax.directions import DIRECTIONS, other
from cyclegan_jax.tables.rows import COMPARISON, Table
from cyclegan_jax.tables.scores import SCORINGS, Columns
from cyclegan_jax.tables.work import Job

_EXAMPLES = 4  # Rows of the grid.


def collect(
    jobs: Sequence[Job], *, best: bool = False
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Returns row key -> direction -> metrics of each seed, of all finished jobs.

    Args:
      jobs: those that count.
      best: of each metric that of the checkpoint where it is best, where that is known;
        else the newest's.
    """
    results: dict[str, dict[str, list]] = {}
    for job in jobs:
        result = job.result() or {}
        overlay = result.get("best", {}) if best else {}
        for direction in DIRECTIONS:
            if direction in result:
                row = results.setdefault(job.row.key, {})
                values = result[direction] | overlay.get(direction, {})
                row.setdefault(direction, []).append(values)
    return results


def write(output: epath.PathLike, jobs: Sequence[Job], about: Mapping[str, Any]) -> str:
    """Writes tables.md, tables.json and the grids; returns the Markdown.

    Args:
      output: the folder.
      jobs: some of them finished.
      about: the settings, which tables.json holds, too; `data` names the data set.
    """
    output, results = files.as_path(output), collect(jobs)
    scoring = SCORINGS[about["data"]]
    shown = {"results": results}
    if scoring.scored_every:
        shown["best"] = collect(jobs, best=True)
    tables = [
        write_table(found, _of(table, key), scoring.columns[table.direction])
        for table in scoring.tables
        for key, found in shown.items()
    ]
    markdown = "\n".join(tables)
    if about.get("vgg") == "random":
        markdown += "\nFeature loss + GAN compares random features (--vgg=random).\n"
    (output / "tables.md").write_text(markdown)
    files.write_json(output / "tables.json", {**about, **shown})
    for direction in DIRECTIONS:
        grid = _grid(jobs, direction)
        if grid is not None:
            files.save_png(output / f"grid_{direction}.png", grid)
    return markdown


def _of(table, key):
    """The table with what its values are in its title."""
    if key != "best":
        return table
    title = f"{table.title}, where each metric is best on the test images"
    return dataclasses.replace(table, title=title)


def write_table(
    results: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
    table: Table,
    columns: Columns,
) -> str:
    """Returns a table as Markdown, with the paper's numbers where it has any.

    Args:
      results: from `collect`.
      table: its rows.
      columns: its metrics.
    """
    seeds = {row: results.get(row.key, {}).get(table.direction) for row in table.rows}
    found = {key for values in seeds.values() for seed in values or () for key in seed}
    # Unless nothing is known yet, what no row has is left out: it is another setting's.
    shown = [key for key in columns.metrics if columns.metrics[key].key in found]
    columns = columns.only(shown or columns.metrics)
    paper = columns.paper and any(row.paper for row in table.rows)
    lines = [table.title, ""]

    def line(title, cells, published=""):
        cells = [title, *cells, *([published] if paper else [])]
        lines.append("|" + "".join(f" {cell} |" if cell else " |" for cell in cells))

    line("", columns.metrics, columns.paper)
    lines.append("|---" * (lines[-1].count("|") - 1) + "|")
    measured: Sequence[Mapping[str, float]] = ()
    for row in table.rows:
        published = row.paper.get(table.direction, ())
        cells = ["not run"] * len(columns.metrics)
        if values := seeds[row]:
            measured = values
            cells = _cells([metric.key for metric in columns.metrics.values()], values)
        line(row.title, cells, " / ".join(f"{value:.2f}" for value in published))
    for title, keys in columns.baselines().items():
        cells = _cells(keys, measured[:1], missing="")
        if any(cells):  # Label images of one channel are no photographs, as input.
            line(f"*{title}*", cells)
    return "\n".join([*lines, ""])


def _cells(keys, seeds, missing="not measured"):
    """Mean and, over seeds, the standard deviation of each metric."""
    cells = []
    for key in keys:
        values = [seed[key] for seed in seeds if key in seed]
        if not values or len(values) < len(seeds):
            cells.append(missing)
            continue
        deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{deviation}")
    return cells


def _grid(jobs, direction):
    """Input, each method of the comparison, and ground truth, for a few test pairs."""
    back = other(direction)
    done, others = {}, []
    for job in jobs:
        if job.seed == 0 and job.result():
            if job.direction in ("", direction):
                done[job.row.key] = job
            if job.direction in ("", back):
                others.append(job)
    chosen = [done[row.key] for row in COMPARISON if row.key in done]
    chosen = [job for job in chosen if _pictures(job, direction, "input") is not None]
    if not chosen:
        return None
    columns = {"input": _pictures(chosen[0], direction, "input")}
    for job in chosen:
        columns[job.row.title] = _pictures(job, direction, "output")
    if others:  # The inputs of the other direction are the ground truth.
        columns["truth"] = _pictures(others[0], back, "input")
    return images.sample_grid({t: c for t, c in columns.items() if c is not None})


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
