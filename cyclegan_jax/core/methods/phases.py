"""The phases that a training step consists of, and how losses call the networks.

The networks of a phase are updated together before the next phase runs.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cyclegan_jax.core.feature_queue import Queues

Arrays = dict[str, Any]


class Phase(NamedTuple):
    """One part of a step: a loss, and the networks that are updated by it.

    Attributes:
      players: names of the networks that the loss is minimised over; none, if the phase
        only makes images for later ones.
      loss: `loss(net, images) -> (loss [], outputs, metrics)`: `net` is a `Networks`,
        `images` the batch and all earlier outputs by name, `outputs` arrays (or trees
        of arrays) for later phases with the slots as their first axis, `metrics` named
        scalars.
    """

    players: tuple[str, ...]
    loss: Callable[["Networks", Arrays], tuple[jax.Array, Arrays, Arrays]]


class Networks:
    """Calls networks by name inside a loss: `fake_b = net("g_ab", real_a)`.

    It lives for one evaluation of a loss. Running statistics are updated in the order
    of the calls, as in the reference, and no two calls share dropout masks. What a
    discriminator with an `augmentation` is given is augmented first, each batch of
    images with fresh numbers.

    Attributes:
      norm_stats: network name -> running statistics after all calls so far.
      monitors: named scalars that are logged but not minimised.
      features: discriminator's name -> the features of real and of generated images,
        [B, ...], that its queues take at the end of the step.
    """

    def __init__(
        self,
        modules: dict[str, Any],
        params: dict[str, Any],
        norm_stats: dict[str, Any],
        keys: jax.Array,
        queues: Mapping[str, Queues] | None = None,
        *,
        few_passes: bool = False,
    ):
        """Takes all that the networks' results depend on.

        Args:
          modules: by name.
          params: parameters, likewise.
          norm_stats: running statistics of those that have them.
          keys: [B] PRNG keys, one per slot.
          queues: of the discriminators that have them.
          few_passes: whether generators, too, translate several batches in one pass:
            fewer and larger kernels for GPUs. Other compilers gain nothing: they
            compile passes of the same shape faster, and TPUs take more cycles.
        """
        self.norm_stats = dict(norm_stats)
        self._modules = modules
        self._params = params
        self._keys = keys
        self._queues = queues or {}
        self._few_passes = few_passes
        self.monitors: dict[str, jax.Array] = {}
        self.features: dict[str, tuple[jax.Array, ...]] = {}
        self._calls = 0

    def module(self, name: str) -> Any:
        """Returns the module of that name."""
        return self._modules[name]

    def keys(self) -> jax.Array:
        """Returns [B] fresh PRNG keys, one per slot of the batch."""
        self._calls += 1
        return jax.vmap(jax.random.fold_in, (0, None))(self._keys, self._calls)

    def __call__(
        self,
        name: str,
        inputs: Any,
        *,
        dropout_keys: jax.Array | None = None,
        keep_stats: bool = True,
        real: float | jax.Array = 0.0,
        **options,
    ) -> Any:
        """Applies a network in training mode and returns whatever it returns.

        Args:
          name: of the network.
          inputs: its input: [B, H, W, C], or any tree of arrays that it takes.
          dropout_keys: [B] keys of the dropout masks, to draw those of another call
            again; by default fresh ones.
          keep_stats: whether the running statistics are updated; not inside a gradient
            that is part of a loss, such as a penalty's.
          real: whether a discriminator is given real images, see `Queues.at`.
          **options: further keyword arguments of the network, such as which features
            to return; not arrays, but hashable values that the program depends on.
        """
        inputs = self._augmented(name, inputs)
        queue = self._queues[name].at(real) if name in self._queues else None
        return self._apply(name, inputs, dropout_keys, keep_stats, options, queue)[0]

    def _augmented(self, name, inputs):
        augmentation = getattr(self._modules[name], "augmentation", None)
        if augmentation is None:
            return inputs
        return jax.tree.map(lambda images: augmentation(images, self.keys()), inputs)

    def _apply(self, name, inputs, dropout_keys, keep_stats, options, queue=None):
        module = self._modules[name]
        if getattr(module, "dropout", False) and dropout_keys is None:
            dropout_keys = self.keys()
        variables = {"params": self._params[name]}
        if name in self.norm_stats:
            variables["batch_stats"] = self.norm_stats[name]
        outputs, new = train_pass(
            module,
            tuple(sorted(options.items())),
            variables,
            inputs,
            dropout_keys if getattr(module, "dropout", False) else None,
            queue,
        )
        if keep_stats and name in self.norm_stats:
            self.norm_stats[name] = new["batch_stats"]
        return outputs, new

    def in_few_passes(self, *names: str) -> bool:
        """Whether these generators should translate several batches in one pass."""
        return self._few_passes and all(map(self._separable, names))

    def _separable(self, name):
        """Whether no image influences another: no running statistics, no dropout."""
        dropout = getattr(self._modules[name], "dropout", False)
        return name not in self.norm_stats and not dropout

    def each(self, name: str, *inputs: Any) -> tuple[jax.Array, ...]:
        """Applies a network to several batches: `net(name, x), net(name, y), ...`.

        Where no image influences another (no batch norm, no dropout) and all batches
        have the same shape, in one pass over all of them.

        Args:
          name: of the network.
          *inputs: [B, H, W, C] images, or whatever it takes.
        """
        if name in self._queues or not self._alike(name, inputs):
            return tuple(self(name, x) for x in inputs)
        inputs = tuple(self._augmented(name, x) for x in inputs)
        outputs, _ = self._apply(name, jnp.concatenate(inputs), None, True, {})
        return tuple(jnp.split(outputs, len(inputs)))

    def _alike(self, name, inputs):
        """Whether one pass over all batches gives what a pass over each gives."""
        first, *others = (getattr(x, "shape", None) for x in inputs)
        return first and others and set(others) == {first} and self._separable(name)

    def scores(self, name: str, real: Any, fake: Any) -> tuple[jax.Array, ...]:
        """Scores real and generated images: `net(name, real), net(name, fake)`.

        Queues of the discriminator take the features of both.

        Args:
          name: of the discriminator.
          real: [B, H, W, C] images, or whatever it takes.
          fake: the same number of generated ones.
        """
        if name in self._queues:
            return self._scores_with_queue(name, (real, fake))
        return self.each(name, real, fake)

    def _scores_with_queue(self, name, inputs):
        inputs = [self._augmented(name, x) for x in inputs]
        queues = self._queues[name]
        if one_pass := self._alike(name, inputs):
            inputs = [jnp.concatenate(inputs)]
            queues = [jax.tree.map(lambda *x: jnp.concatenate(x), *queues)]
        scores, features = [], []
        for x, queue in zip(inputs, queues, strict=True):
            outputs, new = self._apply(name, x, None, True, {}, queue)
            scores.append(outputs)
            features.extend(new["intermediates"]["features"])
        if one_pass:
            scores, features = (jnp.split(x, 2) for (x,) in (scores, features))
        self.features[name] = tuple(features)
        return tuple(scores)


# Traced once for networks that are alike and for inputs of the same shape: a seventh of
# the time to trace and lower a step. Inlined: see `networks.convolutions`.
@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def train_pass(module, options, variables, inputs, dropout_keys, queue):
    """Applies a module in training: what it returns, and its new collections."""
    kwargs = dict(options)
    if queue is not None:
        kwargs["queue"] = queue
    if dropout_keys is not None:
        kwargs["dropout_keys"] = dropout_keys
    return module.apply(
        variables,
        inputs,
        train=True,
        mutable=["batch_stats", "intermediates"],
        **kwargs,
    )
