"""Evaluation while a run is being trained."""

from etils import epath

from cyclegan_jax import data
from cyclegan_jax.core.state import TrainState, variables_of
from cyclegan_jax.evaluation.evaluator import TestSplit
from cyclegan_jax.evaluation.feature_networks import Judges
from cyclegan_jax.metrics.meanings import TEST
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation.translator import Translator


class LiveEvaluation:
    """Measures the test split with a training state, without writing pictures."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: epath.PathLike,
        dataset: data.Dataset,
    ):
        """Prepares the test split.

        Args:
          experiment: of the run; its setting `evaluation` names the networks that
            the metrics need.
          workdir: the run's folder.
          dataset: its data.

        Raises:
          UserError: there are no test images, or a judge's weights cannot be used.
        """
        settings = experiment.config.evaluation
        judges = Judges.load(
            workdir=workdir,
            palette=dataset.palette,
            inception=settings.inception,
            references=settings.fid_reference.split(","),
            fcn_file=settings.fcn,
            lpips_files=[file for file in settings.lpips.split(",") if file],
        )
        self._experiment, self._workdir = experiment, workdir
        self._test_split = TestSplit(dataset, experiment.preprocess, judges, quiet=True)
        self._translators: dict[str, Translator] = {}

    def __call__(self, state: TrainState, step: int) -> dict[str, float]:
        """Returns test/<direction>/<metric> -> value.

        Args:
          state: its moving averages are used where it has them.
          step: of the run.
        """
        variables = variables_of(state.params, state.ema_params, state.norm_stats)
        if not self._translators:
            run = Run(self._workdir, self._experiment, step, variables)
            self._translators = {
                d: Translator(run, d, all_processes=True) for d in run.translations
            }
        result = {}
        for translator in self._translators.values():
            translator.use(variables)
        for direction in self._translators:
            side = self._test_split.measure(self._translators, direction)
            found = side.metrics.items()
            result |= {f"{TEST}{direction}/{name}": value for name, value in found}
        return result
