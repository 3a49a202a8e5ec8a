"""Fingerprints of a run's checkpoints, and where two runs diverge."""

import hashlib
import io

import jax
import numpy as np
from etils import epath
from PIL import Image

from cyclegan_jax import data
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs import storage, writer
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.choosing import list_steps

_AHEAD = 100  # Batches after a checkpoint whose order is compared.


def of_checkpoint(workdir: epath.PathLike, step: int) -> dict[str, str]:
    """Returns part -> 16 digits: of every network, optimiser state, pool, and so on.

    Raises:
      UserError: there is no such checkpoint, or it cannot be read.
    """
    checkpoints = Checkpoints(storage.locate(workdir) / "checkpoints", read_only=True)
    try:
        tree, extra = checkpoints.load_arrays(step)
    finally:
        checkpoints.close()
    state = tree["state"]
    digits: dict[str, str] = {}
    kinds = ("params", "opt_state", "norm_stats", "ema_params")
    for kind, parts in [(k, state.get(k) or {}) for k in kinds] + [
        ("pool", tree.get("pools") or {})
    ]:
        digits |= {f"{kind}/{name}": of_arrays(part) for name, part in parts.items()}
    digits["losses not logged yet"] = _digits(repr(extra).encode())
    if order := _order(workdir, step):
        digits["order of the next batches"] = order
    return digits


def of_arrays(tree) -> str:
    """Returns 16 digits that change with any bit, shape, type or name in a tree."""
    whole = hashlib.sha256()
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in flat:
        leaf = np.asarray(leaf)
        about = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape} "
        whole.update(about.encode() + leaf.tobytes())
    return whole.hexdigest()[:16]


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _order(workdir, step):
    """A digest of the images in the batches after a step; "" if unknown."""
    counts = run_folder.read_about(workdir).get("data")
    if not counts:
        return ""
    config = run_folder.load_config(workdir)
    batches = data.TrainBatches(
        *(_Numbers(counts[split]["images"]) for split in ("train_a", "train_b")),
        _Numbers,
        seed=config.seed,
        batch_size=config.batch_size,
        paired=config.data.paired,
        sample_b=config.data.sample_b,
    )
    return of_arrays([batches[step + ahead] for ahead in range(_AHEAD)])


class _Numbers:
    """Placeholders for images: each is its own index, and is not transformed."""

    def __init__(self, count: int):
        self.names = [str(index) for index in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.full((1, 1, 1), index)

    @staticmethod
    def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return image

    @staticmethod
    def augment_pair(
        a: np.ndarray, b: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        return a, b


def compare(one: epath.PathLike, other: epath.PathLike) -> list[str]:
    """Describes where and when two runs first differ; empty if they do not.

    Raises:
      UserError: a run cannot be read, or they have no checkpoint of the same step.
    """
    return [
        *_compare_metrics(one, other),
        *_compare_samples(one, other),
        *_compare_checkpoints(one, other),
    ]


def _compare_metrics(one, other):
    pairs = zip(writer.read_metrics(one), writer.read_metrics(other), strict=False)
    for first, second in pairs:
        for name in sorted(set(first) | set(second)):
            if first.get(name) != second.get(name):
                yield (
                    f"metrics.jsonl: first at step {first['step']}, {name}:"
                    f" {first.get(name)} and {second.get(name)}"
                )
                return


def _compare_samples(one, other):
    folders = [storage.locate(workdir) / "samples" for workdir in (one, other)]
    names = [
        {path.name for path in (folder.iterdir() if folder.exists() else ())}
        for folder in folders
    ]
    for name in sorted(names[0] & names[1]):
        if not _same_picture(*(folder / name for folder in folders)):
            yield f"samples: first in {name}"
            return


def _same_picture(one, other):
    contents = [path.read_bytes() for path in (one, other)]
    if contents[0] == contents[1]:
        return True
    try:  # Other versions of Pillow may write the same pixels as other bytes.
        return np.array_equal(*(Image.open(io.BytesIO(x)) for x in contents))
    except OSError:  # Not a picture.
        return False


def _compare_checkpoints(one, other):
    steps = sorted(set(list_steps(one)) & set(list_steps(other)))
    if not steps:
        raise UserError(f"{one} and {other} have no checkpoint of the same step.")
    for step in steps:
        first, second = of_checkpoint(one, step), of_checkpoint(other, step)
        parts = [
            part
            for part in sorted(set(first) | set(second))
            if first.get(part) != second.get(part)
        ]
        if parts:
            yield f"checkpoints: first at step {step}, in {', '.join(parts)}"
            return
