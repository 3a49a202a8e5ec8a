"""The state of a run: created or restored, advanced, and saved."""

import sys
from collections.abc import Callable

import jax
import numpy as np
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.core.state import placeholders
from cyclegan_jax.data import fingerprint
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, hosts
from cyclegan_jax.machine.devices import Devices
from cyclegan_jax.machine.pmapped import compile_early, shapes
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs import storage
from cyclegan_jax.runs.checkpoints import Checkpoints, complete_steps
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.integrity import all_finite, checksums_of
from cyclegan_jax.runs.recovery import set_damaged_aside
from cyclegan_jax.training.batches import open_batches
from cyclegan_jax.training.init_from import load_initial, start_from
from cyclegan_jax.training.step import build_step

_HELPS = (
    "What may help: the same command with a lower --config.optimizer.learning_rate, or"
    " with --config.compute_dtype=float32, and --allow_changes."
)


class Trainer:
    """A run's training state: created or restored, advanced, and saved.

    Attributes:
      experiment: what the run is, apart from its state.
      config: its settings.
      workdir: its folder.
      dataset: its images.
      batches: the stream of training batches, by step.
      cache_note: why not all images are cached, unless `cache_gib` is the limit.
      traits: how many images are converted when read; see `data.fingerprint`.
      step: finished steps.
      state: the training state.
      pools: the image pools.
      pending: losses of each step since they were last logged.
      total_steps: steps of the whole run.
      changes: settings that this resumption changes: name -> (old, new).
    """

    def __init__(
        self,
        experiment: Experiment,
        workdir: epath.PathLike,
        *,
        allow_changes: bool = False,
        devices: int = 0,
    ):
        """Checks and opens everything that a run needs, cheapest first.

        Writes nothing: `open` does, once it has locked the folder.

        Args:
          experiment: from the config.
          workdir: the run's folder.
          allow_changes: see `runs.folder.check`.
          devices: use only this many; 0: all.

        Raises:
          UserError: a setting conflicts with the devices, the data or the folder.
        """
        self.experiment, self.config = experiment, experiment.config
        self.workdir = files.absolute(storage.locate(workdir))
        self.devices = Devices(self.config.batch_size, devices)
        experiment.check_accumulate(self.devices.per_device)
        self.changes = run_folder.check(
            workdir, self.config.to_dict(), allow_changes=allow_changes
        )
        self._resumes = bool(complete_steps(workdir))
        self._initial = None if self._resumes else load_initial(experiment)
        self._given = placeholders(experiment.method)
        if not self._resumes:  # A checkpoint has these networks, too.
            self._given = experiment.pretrained_parameters()
        self.dataset = experiment.dataset()
        self.batches, self.cache_note = open_batches(
            experiment,
            self.dataset,
            self.devices.local_slots,
            quiet=not hosts.is_main(),
        )
        self.schedule = experiment.schedule(self.batches.steps_per_epoch)
        self.optimizer = experiment.optimizer(self.schedule)
        self.total_steps = experiment.total_steps(self.batches.steps_per_epoch)
        self._example = self.batches[0]
        self.image_size = self._example["a"].shape[1:3]
        experiment.check_image_size(self.image_size)
        self.step_fn = build_step(experiment, self.optimizer, self.devices)
        self._step: Callable = self.step_fn

    def open(self) -> None:
        """Opens the run's folder, and starts or resumes the run in it."""
        config = self.config
        self.traits: dict[str, int] = {}
        if hosts.is_main():
            images = None
            if config.data.fingerprint:
                images, self.traits = fingerprint.read(self.dataset)
            run_folder.create(
                self.workdir, config.to_dict(), resumes=self._resumes, data=images
            )
        hosts.barrier("run folder")
        hosts.check_shared(self.workdir)
        folder = self.workdir / "checkpoints"
        for sentence in set_damaged_aside(folder, self.workdir / "damaged_checkpoints"):
            if hosts.is_main():
                print(f"warning: {sentence}", file=sys.stderr)
        if hosts.is_main():
            storage.check_writable(folder)
        self.checkpoints = Checkpoints(
            folder,
            keep=config.keep_checkpoints,
            keep_every=config.keep_every_steps,
            keep_best=self.experiment.better,
        )
        self._restore()
        if hosts.is_main() and self.step < self.total_steps:
            changed = run_folder.record_resume(
                self.workdir, self.step, config.to_dict(), self.changes
            )
            if config.same_bits and (doubt := environment.doubt(changed)):
                print(f"warning: {doubt}", file=sys.stderr)

    def _restore(self):
        """Starts from the newest checkpoint, or from scratch."""
        devices = self.devices
        self.step, self.pending = 0, []
        self._seed = devices.replicate(np.uint32(self.config.seed))
        saved = self.checkpoints.steps()
        newest = hosts.from_main(saved[-1] if saved else -1)
        if newest < self.total_steps and not self.config.same_bits:
            state, pools = jax.eval_shape(self._create)
            arguments = shapes(
                devices.count, devices.per_device, state, pools, self._example
            )
            images = devices.per_device // self.config.accumulate
            self._step = compile_early(self.step_fn, arguments, images)
        state, pools = self._create()
        if self._initial and not saved:
            state = start_from(self._initial, state, self._given)
        self.state, self.pools = self.devices.place(state, pools)
        if newest >= 0:
            self.step = newest
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
                self.devices.whole(self.state, self.pools),
            )
            tree, extra = self.checkpoints.load(self.step, abstract)
            self.state, self.pools = devices.from_whole(tree)
            self.pending = extra["pending"]
        if self.step < self.total_steps:
            self._prepare_to_save()

    def _prepare_to_save(self):
        """Compiles what a checkpoint takes, while the step is being compiled.

        A job that is stopped in its first minutes may have few seconds to save.
        """
        all_finite(self.state.params)
        checksums_of(self.devices.whole(self.state, self.pools))

    def _create(self):
        """A fresh state and pools, not yet on the devices."""
        return self.experiment.create(
            self.optimizer,
            self.image_size,
            slots=self.config.batch_size,
            local_slots=len(self.devices.local_slots),
            given=self._given,
        )

    def advance(self, batch: dict[str, np.ndarray]) -> None:
        """Runs one step, without waiting for its result."""
        self.state, self.pools, metrics = self._step(
            self.state, self.pools, self.devices.place_batch(batch), self._seed
        )
        self.record(metrics)

    def record(self, metrics: dict[str, jax.Array]) -> None:
        """Counts a step and keeps its losses, which may still be computed."""
        self.step += 1
        self.pending.append(metrics)  # Not fetched, which would block on the device.

    def take_losses(self) -> dict[str, float]:
        """Returns the mean of each loss since the last call.

        Raises:
          UserError: a loss is not finite.
        """
        self.check_finite()
        values: dict[str, list[float]] = {}  # A resumed run may have other losses.
        for metrics in self.pending:
            for name, value in metrics.items():
                # Python floats, as in a checkpoint's JSON: means have the same bits.
                values.setdefault(name, []).append(float(value))
        self.pending = []
        return {name: float(np.mean(values[name])) for name in sorted(values)}

    def check_finite(self) -> None:
        """Fetches the losses since the last log and checks that they are finite.

        Raises:
          UserError: a loss is not a finite number.
        """
        first = self.step - len(self.pending) + 1
        self.pending = jax.device_get(self.pending)
        for step, metrics in enumerate(self.pending, first):
            for name, value in metrics.items():
                if not np.isfinite(value):
                    raise UserError(
                        f"loss {name} became {float(value)} in step {step}; the"
                        f" newest checkpoint, if any, is from before. {_HELPS}"
                    )

    def save(self, score: float | None = None) -> None:
        """Saves a checkpoint of this step, unless there is one.

        Args:
          score: the value of `best_metric`, if it was measured at this step.

        Raises:
          UserError: a loss or a parameter is not finite, or there is no space.
        """
        if self.step in self.checkpoints.steps():
            return
        self.check_finite()
        pending = [
            {name: float(value) for name, value in metrics.items()}
            for metrics in self.pending
        ]
        if not all_finite(self.state.params):
            raise UserError(
                f"a parameter is not finite after step {self.step}; the newest"
                f" checkpoint, if any, is from before. {_HELPS}"
            )
        whole = self.devices.whole(self.state, self.pools)
        self.checkpoints.save(self.step, whole, {"pending": pending}, score=score)
