"""Evaluation while a run is being trained."""

import ml_collections
from etils import epath

from cyclegan_jax import data
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.state import TrainState, variables_of
from cyclegan_jax.evaluation.evaluator import Evaluator
from cyclegan_jax.evaluation.feature_networks import NETWORKS, FeatureNetworks
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.metrics.realism import check_references
from cyclegan_jax.runs import run as restore
from cyclegan_jax.translation.translator import Translator


class LiveEvaluation:
    """Evaluates a training state on the test split, without writing images."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        workdir: epath.PathLike,
        method: Method,
        dataset: data.Dataset,
        preprocess: data.Preprocess,
    ):
        """Prepares the test split.

        Args:
          config: of the run; `evaluation` names the weights of networks.
          workdir: the run's folder.
          method: its networks.
          dataset: its data.
          preprocess: how they become training images.

        Raises:
          UserError: there are no test images, or weights cannot be used.
        """
        settings = config.evaluation
        references = settings.fid_reference.split(",")
        check_references(references)
        networks = FeatureNetworks.load(
            {name: settings[name] for name in NETWORKS if name in settings},
            workdir=workdir,
            palette=dataset.palette,
        )
        self._config, self._workdir, self._method = config, workdir, method
        self._evaluator = Evaluator(
            dataset, preprocess, networks, references=references, quiet=True
        )
        self._translators: dict[str, Translator] = {}

    def __call__(self, state: TrainState, step: int) -> dict[str, float]:
        """Returns test/<direction>/<metric> -> value.

        Args:
          state: its moving averages are used where it has them.
          step: of the run.
        """
        variables = variables_of(state.params, state.ema_params, state.norm_stats)
        if not self._translators:
            run = restore.Run(
                self._workdir, self._config, self._method, step, variables
            )
            self._translators = {
                d: Translator(run, d, all_processes=True) for d in run.translations
            }
        result = {}
        for translator in self._translators.values():
            translator.use(variables)
        for direction in self._translators:
            side = self._evaluator.evaluate(self._translators, direction)
            for key, value in side.metrics.items():
                result[f"{TEST}{direction}/{key}"] = value
        return result
