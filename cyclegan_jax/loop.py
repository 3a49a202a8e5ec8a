"""The training loop: the cheap path first, then whatever is due."""

import contextlib
import functools

import jax
import ml_collections
import numpy as np
import optax
from etils import epath
from tqdm import tqdm

from cyclegan_jax import (
    data,
    evaluation,
    experiment,
    report,
    restore,
    run_folder,
    samples,
    steps,
)
from cyclegan_jax.checkpoints import Checkpoints
from cyclegan_jax.devices import AXIS, Devices
from cyclegan_jax.errors import UserError
from cyclegan_jax.interrupts import Interrupts
from cyclegan_jax.summary import Clock, summary
from cyclegan_jax.writer import MetricsWriter


def train(config: ml_collections.ConfigDict, workdir: epath.PathLike) -> int:
    """Trains, or goes on training, the run in a folder.

    Args:
      config: see configs/default.py.
      workdir: the run's folder; created, or resumed if it holds the same run.

    Returns:
      0 at the end of the run, or 128 + the number of the signal that stopped it early;
      then everything is saved.

    Raises:
      UserError: bad input, or a loss that is not finite.
    """
    trainer = Trainer(config, workdir)  # Writes nothing yet.
    with run_folder.lock(workdir), Interrupts() as interrupts:
        trainer.open()
        with trainer.checkpoints:
            return trainer.run(interrupts)


def due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens after this one."""
    return every > 0 and step % every == 0


class Trainer:
    """One run: what it is made of, and its state as it goes."""

    def __init__(self, config: ml_collections.ConfigDict, workdir: epath.PathLike):
        """Builds everything from the config and checks it, cheapest first.

        Nothing is written: `open` does that, once the folder is ours alone.
        """
        self.config = config
        self.workdir = epath.Path(workdir)
        self.method = experiment.build_method(config)
        transform = experiment.build_preprocess(config, self.method)
        self.devices = Devices(config.batch_size)
        _check_accumulate(config.accumulate, self.devices.per_device)
        run_folder.check(workdir, config.to_dict())
        self.initial = self._load_initial()
        self.dataset = experiment.load_dataset(config)
        self.transform = transform
        budget = int(config.data.cache_gib * 2**30)
        cache = functools.partial(data.CachedSource, load=transform.load)
        cached_a = cache(self.dataset.train_a, cache_bytes=budget)
        budget -= cached_a.cached_bytes
        self.batches = data.TrainBatches(
            cached_a,
            cache(self.dataset.train_b, cache_bytes=budget),
            transform,
            seed=config.seed,
            batch_size=config.batch_size,
            slots=self.devices.local_slots,
            sample_b=config.data.sample_b,
        )
        self.schedule = experiment.build_schedule(config, self.batches.steps_per_epoch)
        self.optimizer = experiment.build_optimizer(config, self.schedule)
        self.total_steps = experiment.total_steps(config, self.batches.steps_per_epoch)
        self.image_size = self.batches[0]["a"].shape[1:3]
        _check_image_size(self.method, self.image_size)
        self.sampler = samples.Sampler(
            self.method, self.dataset, transform, config.num_samples
        )
        self.step_fn = self.devices.pmap(
            functools.partial(
                steps.train_step,
                method=self.method,
                optimizer=self.optimizer,
                axis_name=AXIS,
                accumulate=config.accumulate,
                ema_decay=config.ema_decay,
            )
        )

    def open(self):
        """Opens the run's folder, and starts or resumes the run in it."""
        config = self.config
        run_folder.create(self.workdir, config.to_dict())
        self.checkpoints = Checkpoints(
            self.workdir / "checkpoints",
            keep=config.keep_checkpoints,
            keep_every=config.keep_every_steps,
        )
        self._restore()

    def _load_initial(self):
        """Loads the run to start from, if any, and checks that its networks fit."""
        folder = self.workdir / "checkpoints"
        started = folder.exists() and any(p.name.isdigit() for p in folder.iterdir())
        if not self.config.init_from or started:
            return None
        run = restore.load(
            epath.Path(self.config.init_from).expanduser(), average=False
        )
        multiple = self.method.generator_ab.size_multiple
        least = max(multiple, self.method.discriminator_a.smallest_size)
        size = (-(-least // multiple) * multiple,) * 2
        fresh = functools.partial(
            steps.create_state, self.method, optax.identity(), size, seed=0
        )
        restore.check_start(run, jax.eval_shape(fresh).params)
        return run

    def _restore(self):
        """Starts from the newest checkpoint, or from scratch."""
        config, devices = self.config, self.devices
        state = steps.create_state(
            self.method,
            self.optimizer,
            self.image_size,
            config.seed,
            ema=config.ema_decay > 0,
        )
        pools = steps.create_pools(
            self.method, config.batch_size, config.pool_size, self.image_size
        )
        self.step, self.pending, self.scores = 0, [], {}
        found = self.checkpoints.steps()
        if self.initial and not found:
            state = restore.start_from(self.initial, state)
        self.state, self.pools = devices.replicate(state), devices.split(pools)
        if found:
            self.step = found[-1]
            abstract = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
                self._checkpoint_tree(),
            )
            tree, extra = self.checkpoints.load(self.step, abstract)
            self.state, self.pools = tree["state"], devices.split(tree["pools"])
            self.pending = extra["pending"]

    def _checkpoint_tree(self):
        return {"state": self.state, "pools": self.devices.merge(self.pools)}

    def run(self, interrupts: Interrupts) -> int:
        """Trains until the end or an interrupt; returns the exit status."""
        config = self.config
        if self.step >= self.total_steps:
            print(f"Already finished: {self.workdir} is at step {self.step}.")
            return 0
        print("\n".join(f"{k:9s} {text}" for k, text in summary(self).items()))
        resumed_at = self.step
        seed = np.uint32(config.seed)
        slots = np.array(self.devices.local_slots, np.int32)
        with (
            MetricsWriter(self.workdir, resume_step=self.step) as writer,
            tqdm(
                total=self.total_steps,
                initial=self.step,
                unit="step",
                mininterval=0.5,
                dynamic_ncols=True,
            ) as bar,
        ):
            if self.step == 0:
                self._show(writer)
            clock = Clock(self.step)
            try:
                for batch in self.batches.iterate(self.step):
                    batch = self.devices.split({**batch, "slot": slots})
                    self.state, self.pools, metrics = self.step_fn(
                        self.state, self.pools, batch, seed
                    )
                    self._count(metrics)
                    bar.update()
                    if self._report(writer, bar, clock, interrupts):
                        break
            except UserError:  # An image that cannot be read, say.
                with contextlib.suppress(UserError):  # Or a loss that is not finite.
                    self._save()
                raise
        self.checkpoints.wait()
        return self._finish(interrupts, resumed_at)

    def _report(self, writer, bar, clock, interrupts):
        """Does whatever is due after a step; returns whether it was the last."""
        config = self.config
        done = self.step == self.total_steps
        last = done or interrupts.signal
        if due(self.step, config.log_every_steps) or done:
            self._log(writer, bar, clock)
        if due(self.step, config.evaluate_every_steps) or done:
            self._evaluate(writer)
        if due(self.step, config.sample_every_steps) or last:
            self._show(writer)
        if due(self.step, config.checkpoint_every_steps) or last:
            self._save()
        return last

    def _count(self, metrics):
        self.step += 1
        self.pending.append(metrics)  # Not fetched: that would wait for the device.

    def _log(self, writer, bar, clock):
        """Writes the mean of each loss since the last time."""
        self._check_finite()
        means = {
            # Doubles: a part of the interval may come from a checkpoint's JSON.
            name: float(np.mean([float(metrics[name]) for metrics in self.pending]))
            for name in sorted(self.pending[0])
        }
        self.pending = []
        rate = clock.rate(self.step) * self.config.batch_size
        writer.write(
            self.step, means | {"learning_rate": float(self.schedule(self.step - 1))}
        )
        writer.write_timing(self.step, {"images_per_second": rate})
        shown = {name: f"{value:.2f}" for name, value in means.items()}
        bar.set_postfix({"img/s": f"{rate:.1f}"} | shown, refresh=False)

    def _check_finite(self):
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

    def _save(self):
        if self.step in self.checkpoints.steps():
            return
        self._check_finite()
        pending = [
            {name: float(value) for name, value in metrics.items()}
            for metrics in self.pending
        ]
        if not _all_finite(self.state.params):
            raise UserError(
                f"a parameter is not finite after step {self.step}; the newest"
                " checkpoint is from before."
            )
        self.checkpoints.save(self.step, self._checkpoint_tree(), {"pending": pending})

    def _evaluate(self, writer):
        """Scores photo -> labels where the test split has class maps."""
        if self.dataset.test_class_maps is None or self.config.data.channels_b != 3:
            return
        scores = evaluation.label_scores(
            functools.partial(self._translate, self.state),
            self.dataset,
            self.transform,
        )
        self.scores = {f"test/{k}": v for k, v in scores.items()}
        writer.write(self.step, self.scores)

    @functools.cached_property
    def _translate(self):
        def translate(state, photos):
            return steps.translate(state, self.method, "g_ab", photos)

        return jax.jit(translate)

    def _show(self, writer):
        """Writes a sample grid and the run's page."""
        self._check_finite()
        try:
            if self.config.sample_every_steps:
                grid = self.sampler.grid(self.state)
                samples.save(self.workdir, self.step, grid)
                writer.write_image(self.step, "samples", grid)
            report.write_training_page(
                self.workdir, title=self.workdir.name, summary=summary(self)
            )
        except OSError as error:
            raise UserError(
                f"{self.workdir} cannot be written to ({error.strerror or error});"
                " the checkpoints already there are still valid."
            ) from error

    def _finish(self, interrupts, resumed_at):
        done = f"steps {resumed_at + 1} to {self.step}, saved in {self.workdir}"
        if interrupts.signal and self.step < self.total_steps:
            print(f"Stopped by {interrupts.name} after {done}; run again to go on.")
            return 128 + interrupts.signal
        print(f"Finished {done}.")
        if self.scores:
            shown = ", ".join(f"{k[5:]} {v:.3f}" for k, v in self.scores.items())
            print(f"Photo to labels on the test pairs: {shown}")
        print(f"Look at {self.workdir / 'index.html'}")
        return 0


@jax.jit
def _all_finite(tree):
    leaves = [jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jax.numpy.stack(leaves).all()


def _check_accumulate(parts, per_device):
    if parts < 1 or per_device % parts:
        raise UserError(
            f"accumulate is {parts}, but each device has {per_device} images of a"
            " batch; use a divisor of that."
        )


def _check_image_size(method, image_size):
    smallest = method.discriminator_a.smallest_size
    if method.weights.gan and min(image_size) < smallest:
        raise UserError(
            f"the images have {image_size[1]}x{image_size[0]} pixels, but this"
            f" discriminator needs at least {smallest} pixels a side; use fewer"
            " layers or larger images."
        )
