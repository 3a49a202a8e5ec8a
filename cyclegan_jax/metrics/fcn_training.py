"""Trains a `fcn.FCN` on a data set's real photographs and their class maps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax import images
from cyclegan_jax.data import Dataset
from cyclegan_jax.data.decode import convert_channels
from cyclegan_jax.data.preprocess import resize, resize_nearest
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import fcn
from cyclegan_jax.progress import Progress

LEARNING_RATE = 1e-3  # Adam's initial rate; cosine decay to 0.


def fit(
    dataset: Dataset, side: int, *, steps: int, batch_size: int, seed: int
) -> fcn.Segmenter:
    """Trains a network; deterministic in its arguments.

    Args:
      dataset: with `train_class_maps`.
      side: pixels; photographs and maps are resized to this height and width.
      steps: number of Adam updates.
      batch_size: photographs per step, sampled with replacement, flipped with
        probability 1/2.
      seed: of the initialisation and the sampling.

    Raises:
      UserError: the training photographs have no class maps.
    """
    maps, palette = dataset.train_class_maps, dataset.palette
    if maps is None or palette is None:
        raise UserError(
            f"{dataset.name} has no training photographs with label maps: A and B must"
            " be named in pairs, and config.data.palette must name the classes' file."
        )
    module = fcn.FCN(len(palette.names))
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    @functools.cache
    def pair(index):
        photo = convert_channels(dataset.train_a[index], 3)
        return resize(photo, side, side), resize_nearest(maps[index], side, side)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, photos, classes):
        value, gradient = jax.value_and_grad(_loss)(params, module, photos, classes)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    rng = np.random.default_rng(seed)
    blank = jnp.zeros((1, side, side, 3))
    params = jax.jit(module.init)(jax.random.key(seed), blank)["params"]
    state = optimizer.init(params)
    with Progress(range(steps), unit="step", desc="FCN") as bar:
        for step in bar:
            pairs = [pair(index) for index in rng.integers(len(maps), size=batch_size)]
            ways = rng.choice([1, -1], size=batch_size)
            photos, classes = (
                np.stack(
                    [kind[:, ::way] for kind, way in zip(kinds, ways, strict=True)]
                )
                for kinds in zip(*pairs, strict=True)
            )
            params, state, value = update(params, state, photos, classes)
            if step % 50 == 0:
                bar.set_postfix(loss=f"{float(value):.3f}")
    return fcn.Segmenter(params, palette.names, side)


def _loss(params, module, photos, classes):
    """Cross entropy, averaged over labelled pixels."""
    logits = module.apply({"params": params}, images.to_float(photos))
    known = classes < module.classes
    each = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(known, classes, 0)
    )
    counted = known.astype(each.dtype)
    return jnp.sum(each * counted) / jnp.maximum(jnp.sum(counted), 1.0)
