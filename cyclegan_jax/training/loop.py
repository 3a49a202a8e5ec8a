"""The training loop: one step, then whatever is due."""

import contextlib
import functools

import ml_collections
from etils import epath

from cyclegan_jax import images
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.live import LiveEvaluation
from cyclegan_jax.machine import environment, hosts, runtime
from cyclegan_jax.machine.interrupts import Interrupts
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.pages import report
from cyclegan_jax.progress import Progress
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.writer import MetricsWriter
from cyclegan_jax.training import alarms, samples
from cyclegan_jax.training.summary import Clock, Forecast, summary
from cyclegan_jax.training.trainer import Trainer


def train(
    config: ml_collections.ConfigDict,
    workdir: epath.PathLike,
    *,
    allow_changes: bool = False,
    devices: int = 0,
) -> int:
    """Trains, or resumes, the run in a folder.

    Args:
      config: see runs/settings.py.
      workdir: the run's folder; created, or resumed if it holds the same run.
      allow_changes: allow resuming with settings that affect the results.
      devices: use only this many of this process's devices; 0: all of all processes.

    Returns:
      0 at the end of the run, or 128 + the number of the signal that stopped it early;
      then everything is saved.

    Raises:
      UserError: bad input, or a loss that is not finite.
    """
    environment.prepare(
        compute_dtype=config.compute_dtype,
        deterministic=config.deterministic,
        same_bits=config.same_bits,
    )
    experiment = Experiment.of(config)
    trainer = Trainer(experiment, workdir, allow_changes=allow_changes, devices=devices)
    loop = Loop(trainer)
    own = run_folder.lock(workdir) if hosts.is_main() else contextlib.nullcontext()
    with own, Interrupts() as interrupts:
        trainer.open()
        with trainer.checkpoints:
            return loop.run(interrupts)


def due(step: int, every: int) -> bool:
    """Whether something done every `every` steps is due after this step."""
    return every > 0 and step % every == 0


class Loop:
    """Advances a run and writes logs, samples and pages."""

    def __init__(self, trainer: Trainer):
        """Loads the sample images; the trainer is opened before `run`."""
        self._trainer = trainer
        self._scores: dict[str, float] = {}
        self._alarms: dict[str, tuple[int, list[alarms.Alarm]]] = {}
        self._sampler = samples.Sampler(trainer.experiment, trainer.dataset)

    def run(self, interrupts: Interrupts) -> int:
        """Trains until the end or an interrupt; returns the exit status."""
        run = self._trainer
        if run.step >= run.total_steps:
            self._say(
                f"Already finished: {run.workdir} is at step {run.step}. To train"
                " longer, raise config.optimizer.constant_epochs or decay_epochs (the"
                " learning rate follows) and add --allow_changes."
            )
            return 0
        lines = summary(run) | {"programs": runtime.describe_cache()}
        self._say("\n".join(f"{k:9s} {text}" for k, text in lines.items()))
        resumed_at = run.step
        with (
            self._open_writer() as writer,
            Progress(
                total=run.total_steps,
                initial=run.step,
                unit="step",
                by_hand=True,
                mininterval=0.5,
                dynamic_ncols=True,
                disable=not hosts.is_main(),
            ) as bar,
        ):
            if run.step == 0:
                self._show(writer)
            clock, forecast = Clock(run.step), Forecast()
            try:
                for batch in run.batches.iterate(run.step):
                    run.advance(batch)
                    bar.update()
                    losses = run.pending[-1]
                    self._say(forecast.after_step(run.step, run.total_steps, losses))
                    if self._report(writer, bar, clock, interrupts):
                        break
            except UserError:  # Such as an unreadable image.
                if hosts.count() == 1:  # Else the others do not take part.
                    with contextlib.suppress(UserError):  # Such as a non-finite loss.
                        run.save()
                raise
        run.checkpoints.wait()
        return self._finish(interrupts, resumed_at)

    def _open_writer(self):
        """Returns the writer on the main process, None on the others."""
        run = self._trainer
        if not hosts.is_main():
            return contextlib.nullcontext()
        return MetricsWriter(run.workdir, resume_step=run.step)

    def _say(self, text):
        if hosts.is_main() and text:
            Progress.write(text)  # Above the progress bar, if there is one.

    def _report(self, writer, bar, clock, interrupts):
        """Does whatever is due after a step; returns whether it was the last."""
        run, config = self._trainer, self._trainer.config
        done = run.step == run.total_steps
        last = interrupts.stop_after_step() or done
        score, save = None, due(run.step, config.checkpoint_every_steps) or last
        if due(run.step, config.log_every_steps) or done:
            self._log(writer, bar, clock)
        every = config.evaluate_every_steps
        if due(run.step, every) or (done and every):
            score = self._evaluate(writer)
            save |= score is not None and self._is_best(score)
        if due(run.step, config.sample_every_steps) or last:
            self._show(writer)
        if save:
            if writer is not None:
                writer.wait()  # A checkpoint stands on the lines before it.
            run.save(score)
        return last

    def _log(self, writer, bar, clock):
        """Logs the mean of each loss since the last call."""
        run = self._trainer
        means = run.take_losses()
        if writer is None:
            return
        rate = clock.rate(run.step) * run.config.batch_size
        learning_rate = float(run.schedule(run.step - 1))
        writer.write(run.step, means | {"learning_rate": learning_rate})
        writer.write_timing(run.step, {"images_per_second": rate})
        shown = {name: f"{value:.2f}" for name, value in means.items()}
        bar.set_postfix({"img/s": f"{rate:.1f}"} | shown, refresh=False)
        bar.line()

    def _evaluate(self, writer):
        """Evaluates the test split; returns the value of `best_metric`, if any."""
        run, metric = self._trainer, self._trainer.config.best_metric
        self._scores = self._measure(run.state, run.step)
        warnings, first = self._measure.warnings, self._measure.first
        found = alarms.of_scores(warnings, first, run.config.num_samples)
        self._alarms["scores"] = run.step, [*found]
        if writer is not None:
            writer.write(run.step, self._scores)
        if metric and TEST + metric not in self._scores:
            known = sorted(name.removeprefix(TEST) for name in self._scores)
            raise UserError(
                f"best_metric {metric} is not measured on these data; it can be one of"
                f" {', '.join(known)}."
            )
        return self._scores[TEST + metric] if metric else None

    @functools.cached_property
    def _measure(self):
        run = self._trainer
        return LiveEvaluation(run.experiment, run.workdir, run.dataset)

    def _is_best(self, score):
        run, before = self._trainer, self._trainer.checkpoints.best_score()
        if before is None:
            return True
        return score != before and run.experiment.better(score, before) == score

    def _show(self, writer):
        """Writes a sample grid and the run's page."""
        run = self._trainer
        run.check_finite()
        if writer is None:
            return
        try:
            if run.config.sample_every_steps:
                columns = self._sampler.columns(run.state)
                grid = images.sample_grid(columns)
                samples.save(run.workdir, f"step_{run.step:08d}", grid)
                writer.write_image(run.step, "samples", grid)
                early = run.step < run.batches.steps_per_epoch  # It may still pass.
                found = [] if early else [*alarms.of_samples(columns)]
                self._alarms["samples"] = run.step, found
            writer.wait()  # The page is drawn from the file.
            report.write_training_page(
                run.workdir,
                title=run.workdir.name,
                summary=summary(run),
                warnings=self._warnings(),
            )
        except OSError as error:
            raise UserError(
                f"{run.workdir} cannot be written to ({error.strerror or error});"
                " the checkpoints already there are still valid."
            ) from error

    def _warnings(self):
        """Sentences for the page, each with the path of its picture, which is saved."""
        return [
            (
                f"At step {step:,}, {alarm.text}",
                samples.save(
                    self._trainer.workdir,
                    f"warning_{kind}_{alarm.direction}",
                    images.sample_grid(alarm.columns),
                ),
            )
            for kind, (step, found) in self._alarms.items()
            for alarm in found
        ]

    def _finish(self, interrupts, resumed_at):
        run = self._trainer
        done = f"steps {resumed_at + 1} to {run.step}, saved in {run.workdir}"
        if interrupts.signal and run.step < run.total_steps:
            self._say(f"Stopped by {interrupts.name} after {done}; run again to go on.")
            return 128 + interrupts.signal
        self._say(f"Finished {done}.")
        labels = [f"{TEST}AtoB/{k}" for k in ("per_pixel", "per_class", "class_iou")]
        if labels[0] in self._scores:
            scores = {name.rpartition("/")[2]: self._scores[name] for name in labels}
            shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
            self._say(f"Photo to labels on the test pairs: {shown}")
        self._say(f"Look at {run.workdir / 'index.html'}")
        return 0
