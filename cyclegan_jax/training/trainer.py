"""A run's parts and its state: built, started or resumed, advanced, and saved."""

import functools
import sys

import jax
import ml_collections
import numpy as np
import optax
from etils import epath

from cyclegan_jax import data
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.state import create_pools, create_state
from cyclegan_jax.data.fingerprint import fingerprint
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import hosts
from cyclegan_jax.machine.devices import Devices, compile_early, pmap
from cyclegan_jax.metrics.meanings import check_metric
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs import run as restore
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.recovery import set_damaged_aside
from cyclegan_jax.training import samples


class Trainer:
    """One run: what it is made of, and its state as it goes.

    Attributes:
      step: finished steps.
      state: the training state.
      pools: the image pools.
      pending: losses of each step since they were last taken.
      total_steps: steps of the whole run.
      better: `min` or `max`, by which `best_metric` is the best; None without one.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: epath.PathLike):
        """Builds everything from the config and checks it, cheapest first.

        Nothing is written: `open` does that, once the folder is ours alone.
        """
        self.config = config
        self.workdir = epath.Path(workdir)
        self.method = experiment.build_method(config)
        self.better = None
        if config.best_metric:
            self.better = check_metric("best_metric", config.best_metric)
            _check_direction(config, self.method)
        transform = experiment.build_preprocess(config, self.method)
        self.devices = Devices(config.batch_size)
        check_accumulate(config.accumulate, self.devices.per_device)
        run_folder.check(workdir, config.to_dict())
        started = _has_checkpoints(self.workdir / "checkpoints")
        self.initial = None if started else self._load_initial()
        self.given = {} if started else experiment.pretrained_parameters(config)
        self.dataset = experiment.load_dataset(config)
        self.transform = transform
        budget = int(config.data.cache_gib * 2**30)
        quiet = not hosts.is_main()
        cache = functools.partial(data.CachedSource, load=transform.load, quiet=quiet)
        cached_a = cache(self.dataset.train_a, cache_bytes=budget)
        budget -= cached_a.cached_bytes
        self.batches = data.TrainBatches(
            cached_a,
            cache(self.dataset.train_b, cache_bytes=budget),
            transform,
            seed=config.seed,
            batch_size=config.batch_size,
            slots=self.devices.local_slots,
            paired=self.method.paired,
            sample_b=config.data.sample_b,
        )
        self.schedule = experiment.build_schedule(config, self.batches.steps_per_epoch)
        self.optimizer = experiment.build_optimizer(config, self.schedule)
        self.total_steps = experiment.total_steps(config, self.batches.steps_per_epoch)
        self._example = self.batches[0]
        self.image_size = self._example["a"].shape[1:3]
        check_image_size(self.method, self.image_size)
        self.sampler = samples.Sampler(
            self.method, self.dataset, transform, config.num_samples
        )
        self.step_fn = pmap(experiment.build_step(config, self.method, self.optimizer))
        self._step = self.step_fn

    def open(self) -> None:
        """Opens the run's folder, and starts or resumes the run in it."""
        config = self.config
        if hosts.is_main():
            images = fingerprint(self.dataset) if config.data.fingerprint else None
            run_folder.create(self.workdir, config.to_dict(), data=images)
        hosts.barrier("run folder")
        hosts.check_shared(self.workdir)
        folder = self.workdir / "checkpoints"
        for sentence in set_damaged_aside(folder, self.workdir / "damaged_checkpoints"):
            if hosts.is_main():
                print(f"warning: {sentence}", file=sys.stderr)
        self.checkpoints = Checkpoints(
            folder,
            keep=config.keep_checkpoints,
            keep_every=config.keep_every_steps,
            keep_best=self.better,
        )
        self._restore()
        if hosts.is_main() and self.step < self.total_steps:
            run_folder.went_on(self.workdir, self.step)

    def _load_initial(self):
        """Loads the run to start from, if any, and checks that its networks fit."""
        if not self.config.init_from:
            return None
        run = restore.load(
            epath.Path(self.config.init_from).expanduser(), average=False
        )
        multiple = self.method.size_multiple
        size = (-(-self.method.smallest_size // multiple) * multiple,) * 2
        fresh = functools.partial(
            create_state, self.method, optax.identity(), size, seed=0
        )
        restore.check_start(run, jax.eval_shape(fresh).params)
        return run

    def _restore(self):
        """Starts from the newest checkpoint, or from scratch."""
        devices = self.devices
        self.step, self.pending = 0, []
        self._seed = devices.replicate(np.uint32(self.config.seed))
        found = self.checkpoints.steps()
        newest = hosts.from_main(found[-1] if found else -1)
        if newest < self.total_steps:
            self._step = compile_early(
                self.step_fn,
                lambda: (
                    *self._place(*self._create()),
                    self._place_batch(self._example),
                    self._seed,
                ),
            )
        state, pools = self._create()
        if self.initial and not found:
            state = restore.start_from(self.initial, state)
        self.state, self.pools = self._place(state, pools)
        if newest >= 0:
            self.step = newest
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
                self._checkpoint_tree(),
            )
            tree, extra = self.checkpoints.load(self.step, abstract)
            self.state = devices.to_local(tree["state"], by_slot=False)
            pools = devices.to_local(tree["pools"], by_slot=True)
            self.pools = devices.split(pools)
            self.pending = extra["pending"]

    def _create(self):
        """A fresh state and pools, not yet on the devices."""
        config = self.config
        state = create_state(
            self.method,
            self.optimizer,
            self.image_size,
            config.seed,
            ema=config.ema_decay > 0,
            given=self.given,
        )
        pools = create_pools(
            self.method,
            config.batch_size,
            config.pool_size,
            self.image_size,
            local_slots=len(self.devices.local_slots),
        )
        return state, pools

    def _place(self, state, pools):
        return self.devices.replicate(state), self.devices.split(pools)

    def _place_batch(self, batch):
        slots = np.array(self.devices.local_slots, np.int32)
        return self.devices.split({**batch, "slot": slots})

    def _checkpoint_tree(self):
        pools = self.devices.merge(self.pools)
        return {
            "state": self.devices.to_global(self.state, by_slot=False),
            "pools": self.devices.to_global(pools, by_slot=True),
        }

    def advance(self, batch: dict[str, np.ndarray]) -> None:
        """Does one step, without waiting for its result."""
        self.state, self.pools, metrics = self._step(
            self.state, self.pools, self._place_batch(batch), self._seed
        )
        self._count(metrics)

    def _count(self, metrics):
        self.step += 1
        self.pending.append(metrics)  # Not fetched: that would wait for the device.

    def take_losses(self) -> dict[str, float]:
        """Returns the mean of each loss since the last time.

        Raises:
          UserError: a loss is not finite.
        """
        self.check_finite()
        means = {
            # Doubles: a part of the interval may come from a checkpoint's JSON.
            name: float(np.mean([float(metrics[name]) for metrics in self.pending]))
            for name in sorted(self.pending[0])
        }
        self.pending = []
        return means

    def check_finite(self) -> None:
        """Fetches the losses since the last log; stops at the first bad one.

        Raises:
          UserError: a loss is not a finite number.
        """
        first = self.step - len(self.pending) + 1
        self.pending = jax.device_get(self.pending)
        for step, metrics in enumerate(self.pending, first):
            for name, value in metrics.items():
                if not np.isfinite(value):
                    raise UserError(
                        f"loss {name} became {float(value)} in step {step};"
                        " checkpoints, if any, are from before. A lower"
                        " optimizer.learning_rate or compute_dtype='float32' may help."
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
        if not _all_finite(self.state.params):
            raise UserError(
                f"a parameter is not finite after step {self.step}; the newest"
                " checkpoint is from before."
            )
        extra = {"pending": pending}
        self.checkpoints.save(self.step, self._checkpoint_tree(), extra, score=score)


def _has_checkpoints(folder):
    return folder.exists() and any(path.name.isdigit() for path in folder.iterdir())


@jax.jit
def _all_finite(tree):
    leaves = [jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jax.numpy.stack(leaves).all()


def _check_direction(config, method):
    known = method.translations
    if config.best_metric.partition("/")[0] not in known:
        raise UserError(
            f"best_metric is {config.best_metric}, but this {config.method} translates"
            f" {', '.join(known)} only."
        )


def check_accumulate(parts: int, per_device: int) -> None:
    """Checks that a device's share of a batch can be split into `parts`.

    Raises:
      UserError: it cannot.
    """
    if parts < 1 or per_device % parts:
        raise UserError(
            f"accumulate is {parts}, but each device has {per_device} images of a"
            " batch; use a divisor of that."
        )


def check_image_size(method: Method, image_size: tuple[int, int]) -> None:
    """Checks that images of this height and width are large enough for the networks.

    Raises:
      UserError: they are not.
    """
    if min(image_size) < method.smallest_size:
        raise UserError(
            f"the images have {image_size[1]}x{image_size[0]} pixels, but these"
            f" networks need at least {method.smallest_size} pixels a side; use fewer"
            " layers or larger images."
        )
