"""The tables as Markdown and JSON, and grids of images."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import files, images
from cyclegan_jax.directions import DIRECTIONS, other
from cyclegan_jax.metrics import class_scores
from cyclegan_jax.metrics.metric import Metric
from cyclegan_jax.tables.rows import COMPARISON, TABLES, Row
from cyclegan_jax.tables.work import Job

_BASELINES = {
    "of_real": "real images",
    "of_input": "unmodified inputs",
    "by_chance": "chance",
}
_EXAMPLES = 4  # Rows of the grid.
_MISSING = "not measured"


def collect(jobs: Sequence[Job]) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Returns row key -> direction -> metrics of each seed, of all finished jobs."""
    results: dict[str, dict[str, list]] = {}
    for job in jobs:
        result = job.result() or {}
        for direction in DIRECTIONS:
            if direction in result:
                row = results.setdefault(job.row.key, {})
                row.setdefault(direction, []).append(result[direction])
    return results


def write(output: epath.PathLike, jobs: Sequence[Job], about: Mapping[str, Any]) -> str:
    """Writes tables.md, tables.json and the grids; returns the Markdown.

    Args:
      output: the folder.
      jobs: some of them finished.
      about: the settings, which tables.json holds, too.
    """
    output, results = files.as_path(output), collect(jobs)
    markdown = "\n".join(table(results, *rows) for rows in TABLES)
    if about.get("vgg") == "random":
        markdown += "\nFeature loss + GAN compares random features (--vgg=random).\n"
    (output / "tables.md").write_text(markdown)
    files.write_json(output / "tables.json", {**about, "results": results})
    for direction in DIRECTIONS:
        grid = _grid(jobs, direction)
        if grid is not None:
            files.save_png(output / f"grid_{direction}.png", grid)
    return markdown


def table(
    results: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
    number: int,
    title: str,
    direction: str,
    rows: Sequence[Row],
) -> str:
    """Returns a table of the paper as Markdown, with the paper's numbers.

    Args:
      results: from `collect`.
      number: of the table in the paper.
      title: of the table.
      direction: AtoB or BtoA.
      rows: of the table.
    """
    metrics = class_scores.METRICS[direction]
    lines = [
        f"Table {number}: {title}",
        "",
        "| | per-pixel | per-class | class IoU | the paper's, Cityscapes |",
        "|---|---|---|---|---|",
    ]
    measured: Sequence[Mapping[str, float]] = ()
    for row in rows:
        seeds = results.get(row.key, {}).get(direction)
        paper = " / ".join(f"{value:.2f}" for value in row.paper.get(direction, ()))
        cells = ["not run"] * len(metrics.scores)
        if seeds:
            measured = seeds
            cells = _cells(metrics.scores, seeds)
        lines.append(f"| {row.title} | {' | '.join(cells)} | {paper} |")
    for baseline, title in _BASELINES.items():
        cells = _cells(metrics.baselines[baseline], measured[:1])
        # Label images of one channel are no photographs: no score of them as input.
        if measured and cells[0] != _MISSING:
            lines.append(f"| *{title}* | {' | '.join(cells)} | |")
    return "\n".join([*lines, ""])


def _cells(metrics: Mapping[str, Metric], seeds):
    """Mean and, over seeds, the standard deviation of each metric."""
    cells = []
    for metric in metrics.values():
        values = [seed[metric.key] for seed in seeds if metric.key in seed]
        if not values or len(values) < len(seeds):
            cells.append(_MISSING)
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
