"""The turns that a training step is made of, and how losses call the networks.

The players of a phase are updated together before the next phase runs.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]


class Phase(NamedTuple):
    """One player's (or side's) turn in a step.

    Attributes:
      players: names of the networks whose loss this is; none, if the phase only makes
        images for later ones.
      loss: `loss(net, images) -> (loss [], outputs, metrics)`: `net` is a `Networks`,
        `images` the batch and all earlier outputs by name, `outputs` arrays for later
        phases (one entry a slot), `metrics` named scalars.
    """

    players: tuple[str, ...]
    loss: Callable[["Networks", Arrays], tuple[jax.Array, Arrays, Arrays]]


class Networks:
    """Calls networks by name inside a loss: `fake_b = net("g_ab", real_a)`.

    It lives for one evaluation of a loss. Running statistics pass from call to call in
    the order of the calls, as in the reference, and no two calls share dropout masks.

    Attributes:
      norm_stats: network name -> running statistics after all calls so far.
    """

    def __init__(
        self,
        modules: dict[str, Any],
        params: dict[str, Any],
        norm_stats: dict[str, Any],
        keys: jax.Array,
    ):
        """Args: modules, parameters and statistics by name; [B] keys, one a slot."""
        self.norm_stats = dict(norm_stats)
        self._modules = modules
        self._params = params
        self._keys = keys
        self._calls = 0
        self._known: list[tuple[str, jax.Array, jax.Array]] = []

    def announce(self, name: str, *inputs: jax.Array) -> None:
        """Says what a network will be called with, so that it may do it all at once.

        Only where no image has an influence on another; calls return the same numbers
        with and without. One pass over twice the images is faster than two.

        Args:
          name: of the network.
          *inputs: [B, H, W, C] each, to be passed to later calls as they are.
        """
        module = self._modules[name]
        if name in self.norm_stats or getattr(module, "dropout", False):
            return
        outputs = self._apply(name, jnp.concatenate(inputs))
        for x, y in zip(inputs, jnp.split(outputs, len(inputs)), strict=True):
            self._known.append((name, x, y))

    def keys(self) -> jax.Array:
        """Returns [B] fresh PRNG keys, one a slot of the batch."""
        self._calls += 1
        return jax.vmap(jax.random.fold_in, (0, None))(self._keys, self._calls)

    def __call__(
        self,
        name: str,
        images: Any,
        *,
        dropout_keys: jax.Array | None = None,
        keep_stats: bool = True,
    ) -> Any:
        """Applies a network, in training mode, to [B, H, W, C].

        Args:
          name: of the network.
          images: its input.
          dropout_keys: [B] keys of the dropout masks, to draw those of another call
            again; by default fresh ones.
          keep_stats: whether the running statistics move; not inside a gradient of a
            loss's own, such as a penalty's.
        """
        for known, x, y in self._known:
            if known == name and x is images:
                return y
        return self._apply(name, images, dropout_keys, keep_stats)

    def _apply(self, name, images, dropout_keys=None, keep_stats=True):
        module = self._modules[name]
        kwargs = {}
        if getattr(module, "dropout", False):
            fresh = dropout_keys is None
            kwargs["dropout_keys"] = self.keys() if fresh else dropout_keys
        variables = {"params": self._params[name]}
        if name in self.norm_stats:
            variables["batch_stats"] = self.norm_stats[name]
        y, new = _train_pass(module, variables, images, **kwargs)
        if keep_stats and name in self.norm_stats:
            self.norm_stats[name] = new["batch_stats"]
        return y


# Traced once for networks that are alike and for images of the same shape: a seventh of
# the time to trace and lower a step. Inlined: see `networks.convolutions`.
@functools.partial(jax.jit, static_argnums=0, inline=True)
def _train_pass(module, variables, images, dropout_keys=None):
    kwargs = {} if dropout_keys is None else {"dropout_keys": dropout_keys}
    return module.apply(
        variables, images, train=True, mutable=["batch_stats"], **kwargs
    )
