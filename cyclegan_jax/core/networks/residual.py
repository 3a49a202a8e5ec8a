"""Residual blocks of the ResNet generator, one by one or in turn."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cyclegan_jax.core.networks import convolutions, layers, norms


class Block(nn.Module):
    """Two 3x3 convolutions and a skip, with nothing after the sum.

    Attributes:
      norm: see `norms.NORMS`.
      reflect: mirrored instead of zero padding.
      train: see `norms.BatchNorm`.
      axis_name: see `norms.BatchNorm`.
      init_gain: see `norms.BatchNorm`.
      conv: `layers.Conv` with the network's initialisation and dtype bound.
    """

    norm: str
    reflect: bool
    train: bool
    axis_name: str | None
    init_gain: float
    conv: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, dropout_keys: jax.Array | None, index: int | jax.Array
    ) -> jax.Array:
        """Maps [B, H, W, C] to [B, H, W, C].

        Args:
          x: the input.
          dropout_keys: see `resnet.ResNetGenerator`.
          index: number of the block; blocks have different dropout masks.
        """
        conv = functools.partial(
            self.conv, x.shape[-1], 3, padding=1, reflect=self.reflect
        )
        norm = functools.partial(
            norms.normalise,
            kind=self.norm,
            train=self.train,
            axis_name=self.axis_name,
            init_gain=self.init_gain,
        )
        y = nn.relu(norm(conv(name="conv_0")(x), name="norm_0"))
        y = layers.dropout(y, dropout_keys, index)
        return x + norm(conv(name="conv_1")(y), name="norm_1")


def in_turn(
    block: Block, params: Sequence[Any], x: jax.Array, dropout_keys: jax.Array | None
) -> jax.Array:
    """Applies a block with each of the parameters in turn; on CPUs, in a loop.

    Args:
      block: without a name.
      params: of each block.
      x: [B, H, W, C].
      dropout_keys: see `resnet.ResNetGenerator`.

    Returns:
      The output of the last block, [B, H, W, C].
    """

    def apply(x, number, params):
        return block.apply({"params": params}, x, dropout_keys, number)

    def loop(x):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        numbered = (jnp.arange(len(params)), stacked)
        return lax.scan(lambda x, given: (apply(x, *given), None), x, numbered)[0]

    def chain(x):
        return functools.reduce(lambda x, given: apply(x, *given), enumerate(params), x)

    return lax.platform_dependent(x, cpu=loop, default=chain)


def places(params: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Returns the collection `places` of a block; see `layers.Conv`.

    Args:
      params: of the block.
      dtype: of the block's computation.
    """

    def of(name):
        return {"kernel": convolutions.prepare(params[name]["kernel"].astype(dtype))}

    return {name: of(name) for name in ("conv_0", "conv_1")}
