"""The stream of training batches of a run, with decoded images cached in memory."""

import functools

from cyclegan_jax import data
from cyclegan_jax.data import masks
from cyclegan_jax.data.cache import budget as cache_budget
from cyclegan_jax.errors import UserError
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

    Raises:
      UserError: the images' masks are needed, and there are none.
    """
    config = experiment.config
    budget, limit = cache_budget(config.data.cache_gib)
    masked = [d for d in "ab" if config.loss.keep and f"train_{d}" in dataset.masks]
    if config.loss.keep and not masked:
        raise UserError(
            f"loss.keep is {config.loss.keep}, but the training images have no masks:"
            " put them into folders beside theirs, such as trainA_mask beside trainA"
            " (docs/data.md)."
        )
    # Files are read now, so that a damaged one is found before anything is computed.
    # What is drawn cannot be damaged: it is drawn in threads, as it is first used.
    fill = not dataset.drawn
    sources: list[data.CachedSource] = []
    for domain, source in (("a", dataset.train_a), ("b", dataset.train_b)):
        load: masks.Transform = functools.partial(
            experiment.preprocess.load, pixels=experiment.pixels[domain]
        )
        if domain in masked:
            source = masks.MaskedSource(source, dataset.masks[f"train_{domain}"])
            load = masks.with_masks(load)
        left = budget - sum(s.cached_bytes for s in sources) if fill else budget // 2
        sources.append(
            data.CachedSource(source, load, cache_bytes=left, fill=fill, quiet=quiet)
        )
    count = sum(map(len, sources))  # What is drawn has one size.
    kept = sum(s.cached for s in sources) if fill else budget // sources[0][0].nbytes
    note = f"{kept:,} of {count:,} images: {limit}" if limit and kept < count else ""
    batches = data.TrainBatches(
        sources[0],
        sources[1],
        experiment.preprocess,
        seed=config.seed,
        batch_size=config.batch_size,
        slots=slots,
        paired=experiment.method.paired,
        sample_b=config.data.sample_b,
        masked=masked,
    )
    return batches, note
