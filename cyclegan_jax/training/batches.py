"""The stream of training batches of a run, with decoded images kept in memory."""

from collections.abc import Sequence

from cyclegan_jax import data
from cyclegan_jax.runs.experiment import Experiment


def open_batches(
    experiment: Experiment,
    dataset: data.Dataset,
    slots: Sequence[int],
    *,
    quiet: bool = False,
) -> data.TrainBatches:
    """Opens the training images, of which `data.cache_gib` are decoded only once.

    Args:
      experiment: of the run.
      dataset: its images.
      slots: of the global batch, those that this process feeds.
      quiet: no progress bar.
    """
    config, load = experiment.config, experiment.preprocess.load
    budget = int(config.data.cache_gib * 2**30)
    sources = []
    for source in (dataset.train_a, dataset.train_b):
        cached = data.CachedSource(source, load=load, cache_bytes=budget, quiet=quiet)
        budget -= cached.cached_bytes
        sources.append(cached)
    return data.TrainBatches(
        *sources,
        experiment.preprocess,
        seed=config.seed,
        batch_size=config.batch_size,
        slots=slots,
        paired=experiment.method.paired,
        sample_b=config.data.sample_b,
    )
