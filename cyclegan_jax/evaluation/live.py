"""Evaluation during training."""

import dataclasses
import functools

from etils import epath

from cyclegan_jax import data
from cyclegan_jax.core.state import TrainState, variables_of
from cyclegan_jax.directions import domains
from cyclegan_jax.evaluation.discriminators import DiscriminatorScores
from cyclegan_jax.evaluation.evaluator import Evaluator
from cyclegan_jax.evaluation.feature_networks import NETWORKS, FeatureNetworks
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.metrics.memorisation import DISCRIMINATORS
from cyclegan_jax.metrics.realism import check_references
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation.translator import Translator


class LiveEvaluation:
    """Evaluates a training state on the test split, without writing images.

    Attributes:
      warnings: direction -> sentences about values of the last call that look wrong.
      first: direction -> the first images of the last call, as they are shown.
    """

    def __init__(
        self,
        experiment: Experiment,
        workdir: epath.PathLike,
        dataset: data.Dataset,
    ):
        """Prepares the test split.

        Args:
          experiment: of the run; its setting `evaluation` gives the paths of weights.
          workdir: the run's folder.
          dataset: its data.

        Raises:
          UserError: there are no test images, or weights cannot be used.
        """
        settings = experiment.config.evaluation
        references = settings.fid_reference.split(",")
        check_references(references)
        networks = FeatureNetworks.load(
            {name: settings[name] for name in NETWORKS},
            workdir=workdir,
            palette=dataset.palette,
            by_image=experiment.config.same_bits,
        )
        self._experiment, self._workdir = experiment, workdir
        self._discriminators = None
        if experiment.config.discriminator.monitor:
            self._discriminators = DiscriminatorScores(
                experiment.method,
                by_image=experiment.config.same_bits,
                pixels=experiment.pixels,
            )
            by_name = {**networks.by_name, DISCRIMINATORS: self._discriminators}
            networks = dataclasses.replace(networks, by_name=by_name)
        self._evaluator = Evaluator(
            dataset,
            experiment.preprocess,
            networks,
            references=references,
            cache_gib=experiment.config.data.cache_gib,
            quiet=True,
        )
        self._translators: dict[str, Translator] = {}
        self.warnings: dict[str, list[str]] = {}
        self.first: dict[str, Batch] = {}

    def __call__(self, state: TrainState, step: int) -> dict[str, float]:
        """Returns test/<direction>/<metric> -> value.

        Args:
          state: its averaged (EMA) parameters are used if present.
          step: of the run.
        """
        variables = variables_of(state.params, state.ema_params, state.norm_stats)
        if not self._translators:
            run = Run(self._workdir, self._experiment, step, variables)
            self._translators = {
                d: Translator(run, d, all_processes=True) for d in run.translations
            }
        if self._discriminators is not None:
            self._discriminators.use(variables)
        result: dict[str, float] = {}
        self.first = {}
        for translator in self._translators.values():
            translator.use(variables)
        for direction in self._translators:
            see = functools.partial(self._keep, direction)
            side = self._evaluator.evaluate(self._translators, direction, see)
            self.warnings[direction] = side.warnings
            for key, value in side.metrics.items():
                result[f"{TEST}{direction}/{key}"] = value
        return result

    def _keep(self, direction: str, batch: Batch) -> None:
        if direction not in self.first:
            source, target = (self._experiment.pixels[d] for d in domains(direction))
            real, fake = source.view(batch.real), target.view(batch.fake)
            self.first[direction] = dataclasses.replace(batch, real=real, fake=fake)
