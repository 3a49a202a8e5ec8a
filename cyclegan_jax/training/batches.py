"""The stream of training batches of a run, with decoded images cached in memory."""

import functools

from cyclegan_jax import data
from cyclegan_jax.data.cache import budget as cache_budget
from cyclegan_jax.runs.experiment import Experiment


def open_batches(
    experiment: Experiment,
    dataset: data.Dataset,
    slots: range,
    *,
    quiet: bool = False,
) -> tuple[data.TrainBatches, str]:
    """Opens the training images, of which `data.cache_gib` are decoded only once.

    Args:
      experiment: of the run.
      dataset: its images.
      slots: the slots of the global batch that this process reads.
      quiet: no progress bar.

    Returns:
      The batches, and what limits the cache, if it is not `cache_gib`.
    """
    config = experiment.config
    budget, limit = cache_budget(config.data.cache_gib)
    sources = []
    for domain, source in (("a", dataset.train_a), ("b", dataset.train_b)):
        load = functools.partial(
            experiment.preprocess.load, pixels=experiment.pixels[domain]
        )
        cached = data.CachedSource(source, load=load, cache_bytes=budget, quiet=quiet)
        budget -= cached.cached_bytes
        sources.append(cached)
    kept, count = sum(s.cached for s in sources), sum(map(len, sources))
    note = f"{kept:,} of {count:,} images: {limit}" if limit and kept < count else ""
    source_a, source_b = sources
    batches = data.TrainBatches(
        source_a,
        source_b,
        experiment.preprocess,
        seed=config.seed,
        batch_size=config.batch_size,
        slots=slots,
        paired=experiment.method.paired,
        sample_b=config.data.sample_b,
    )
    return batches, note
