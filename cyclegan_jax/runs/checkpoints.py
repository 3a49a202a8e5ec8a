"""Checkpoints of a run; the only file that imports Orbax.

A checkpoint holds all that exact resumption needs: the training state, the image pools
by slot, and the losses that were not logged yet. Orbax writes in the background, and
what is visible is complete. Checksums, taken before, detect damage.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.integrity import (
    UNREADABLE,
    DamagedCheckpoint,
    broken_scores,
    cannot_read,
    cannot_write,
    check_bits,
    check_shapes,
    checksums_of,
    digest_of,
)

# Errors in Orbax's threads are raised here as well, without their tracebacks.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


class Checkpoints:
    """The checkpoints in one folder, by step."""

    def __init__(
        self,
        folder: epath.PathLike,
        *,
        keep: int = 3,
        keep_every: int = 0,
        keep_best: Callable | None = None,
        read_only: bool = False,
    ):
        """Opens the folder, creating it if needed.

        Args:
          folder: where the checkpoints are; a local path or gs://...
          keep: number of newest checkpoints to keep.
          keep_every: also keep one every so many steps; 0: none.
          keep_best: `min` or `max`: also keep the one with the best score.
          read_only: do not modify the folder; another process may be writing to it.

        Raises:
          DamagedCheckpoint: the score of one of them cannot be read.
        """
        policies = ocp.training.preservation_policies
        decisions = ocp.training.save_decision_policies
        kept = [policies.LatestN(max(keep, 1))]
        if keep_every:
            kept.append(policies.EveryNSteps(keep_every))
        if keep_best:
            best = policies.BestN(
                get_metric_fn=lambda metrics: metrics["score"],
                reverse=keep_best is min,
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            kept.append(best)
        self._folder = files.absolute(storage.locate(folder))  # As Orbax wants it.
        if broken := broken_scores(self._folder):
            raise DamagedCheckpoint(
                f"the score of a checkpoint, {broken[0]}, is not valid JSON: resume the"
                " run, which sets it aside, or delete the folder that it is in."
            )
        self._checkpointer = ocp.training.Checkpointer(
            self._folder,
            save_decision_policy=decisions.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy(kept),
            cleanup_tmp_directories=jax.process_index() == 0 and not read_only,
        )
        self._response, self._better = None, keep_best

    def steps(self) -> list[int]:
        """Lists the steps of the complete checkpoints, in order."""
        return sorted(saved.step for saved in self._checkpointer.checkpoints)

    def best_score(self) -> float | None:
        """Returns the best score of the checkpoints, if one of them has a score."""
        saved = self._checkpointer.checkpoints
        scores = [one.metrics["score"] for one in saved if one.metrics]
        return self._better(scores) if scores and self._better else None

    def save(
        self, step: int, tree: Any, extra: dict[str, Any], *, score: float | None = None
    ) -> None:
        """Starts saving; returns once the arrays may be modified.

        Args:
          step: of the run; a checkpoint of it must not exist yet.
          tree: of arrays.
          extra: JSON values.
          score: for `keep_best`, if it was measured at this step.

        Raises:
          UserError: this or the previous checkpoint could not be written.
        """
        self.wait()
        described: dict[str, Any] = {"extra": extra, "checksums": checksums_of(tree)}
        described["digest"] = digest_of(extra, described["checksums"])
        try:
            self._response = self._checkpointer.save_async(
                step,
                tree,
                metrics=None if score is None else {"score": score},
                custom_metadata=described,
            )
        except (OSError, ValueError) as error:
            raise cannot_write(self._folder, error) from error

    def wait(self) -> None:
        """Waits until the last checkpoint is complete.

        Raises:
          UserError: it could not be written; the ones before are still valid.
        """
        if self._response is None:
            return
        response, self._response = self._response, None
        try:
            response.result()
        except (OSError, ValueError) as error:
            raise cannot_write(self._folder, error) from error

    def load(self, step: int, abstract: Any) -> tuple[Any, dict[str, Any]]:
        """Loads the tree and the extra values of a step.

        Args:
          step: one of `steps()`.
          abstract: the tree of `jax.ShapeDtypeStruct`s with the shape, dtype and
            sharding of each array.

        Raises:
          UserError: the checkpoint holds other networks, or cannot be read.
        """

        def describe(saved, described):
            check_shapes(self._folder / str(step), saved, abstract, described)
            return abstract

        return self._load(step, describe)

    def load_weights(self, step: int, sharding: jax.sharding.Sharding) -> Any:
        """Loads only what translation needs, with the shapes in the checkpoint.

        Args:
          step: one of `steps()`.
          sharding: of all arrays.

        Returns:
          {"params": ..., "ema_params": ..., "norm_stats": ...}, each by network name.

        Raises:
          UserError: the checkpoint cannot be read.
        """

        def describe(saved, _):
            weights = {
                key: _abstract(saved["state"][key], sharding)
                for key in ("params", "ema_params", "norm_stats")
                if saved["state"].get(key)
            }
            return {"state": weights}

        tree, _ = self._load(step, describe, partial=True)
        return {"ema_params": {}, "norm_stats": {}, **tree["state"]}

    def load_arrays(self, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Loads everything as NumPy arrays, independent of the devices that saved it.

        Args:
          step: one of `steps()`.

        Returns:
          The tree, {"state": ..., "pools": ...}, and the extra values.

        Raises:
          UserError: the checkpoint cannot be read.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        tree, extra = self._load(step, lambda saved, _: _abstract(saved, device))
        return jax.device_get(tree), extra

    def _load(self, step, describe, *, partial=False):
        """Loads the tree that `describe` returns, given the saved one and its notes."""
        context = ocp.Context()
        context.pytree.loading.partial_load = partial
        try:
            metadata = self._checkpointer.metadata(step)
            abstract = describe(metadata.metadata, metadata.custom_metadata)
            with context:
                tree = self._checkpointer.load(step, abstract)
            return tree, check_bits(tree, metadata.custom_metadata)
        except UNREADABLE as error:
            problem = cannot_read(self._folder / str(step), error)
            raise problem from problem.__cause__ or error

    def close(self) -> None:
        """Finishes the last save and closes the folder.

        Raises:
          UserError: the last checkpoint could not be written.
        """
        try:
            self.wait()
        except UserError:
            with contextlib.suppress(OSError, ValueError):  # The same error again.
                self._checkpointer.close()
            raise
        self._checkpointer.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            return self.close()
        with contextlib.suppress(UserError):  # The first error counts.
            self.close()


def complete_steps(workdir: epath.PathLike) -> list[int]:
    """Lists the steps of the complete checkpoints in a folder; there may be none."""
    path = storage.locate(workdir) / "checkpoints"
    if not path.exists():
        return []
    if broken_scores(path):  # Orbax fails on them; resuming sets them aside.
        names = [x.parent.name for x in path.glob("*/_CHECKPOINT_METADATA")]
        return sorted(int(name) for name in names if name.isdigit())
    with Checkpoints(path, read_only=True) as checkpoints:
        return checkpoints.steps()


def _abstract(tree, sharding):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
