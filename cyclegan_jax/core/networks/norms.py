"""Instance and batch norm, with PyTorch's numbers.

Shapes use B (batch), H, W (space) and C (channels). Statistics are float32, whatever
the input is.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cyclegan_jax.core.networks import statistics
from cyclegan_jax.core.networks.statistics import EPSILON

NORMS = ("instance", "instance_affine", "batch", "none")


class InstanceNorm(nn.Module):
    """Normalises each channel of each image by itself (Ulyanov et al. 2016).

    Statistics are float32 whatever the input is; the variance is the biased one.

    Attributes:
      affine: whether a learned scale and bias follow (the reference has none).
    """

    affine: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, C] to the same shape and dtype."""
        y = statistics.standardise(x)
        if self.affine:
            shape = (1, 1, 1, x.shape[-1])
            scale = self.param("scale", nn.initializers.ones_init(), shape[-1:])
            bias = self.param("bias", nn.initializers.zeros_init(), shape[-1:])
            y = y * scale.reshape(shape) + bias.reshape(shape)
        return y.astype(x.dtype)


class BatchNorm(nn.Module):
    """PyTorch's (synchronised) BatchNorm2d, running statistics included.

    Linen's own keeps a running average of the *biased* variance, PyTorch of the
    unbiased one, so that its statistics cannot be exchanged with PyTorch's.

    Attributes:
      axis_name: mapped axis over whose devices the statistics are taken, or None.
      momentum: weight of the newest batch in the running statistics.
      init_gain: deviation of the initial scale around 1, as the reference has it.
    """

    axis_name: str | None = None
    momentum: float = 0.1
    init_gain: float = 0.02

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps [B, H, W, C] to the same shape and dtype.

        Args:
          x: the input.
          train: normalise by this batch and update the running statistics (collection
            `batch_stats`, if mutable); else normalise by the running statistics.
        """
        channels = x.shape[-1]
        zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
        running_mean = self.variable("batch_stats", "mean", zeros, None, (channels,))
        running_var = self.variable("batch_stats", "var", ones, None, (channels,))
        y = x.astype(jnp.float32)
        if train:
            mean = self._average(y)
            var = self._average(jnp.square(y - mean.reshape(1, 1, 1, -1)))
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                count = x.size // channels * self._devices()
                unbiased = var * (count / max(count - 1, 1))
                for running, new in ((running_mean, mean), (running_var, unbiased)):
                    running.value += self.momentum * (new - running.value)
        else:
            mean, var = running_mean.value, running_var.value

        def scale_init(key, shape):
            return 1.0 + self.init_gain * jax.random.normal(key, shape)

        scale = self.param("scale", scale_init, (channels,))
        bias = self.param("bias", zeros, (channels,))
        factor = scale * lax.rsqrt(var + EPSILON)
        mean, factor, bias = (v.reshape(1, 1, 1, -1) for v in (mean, factor, bias))
        return ((y - mean) * factor + bias).astype(x.dtype)

    def _average(self, y):
        average = jnp.mean(y, axis=(0, 1, 2))
        if self.axis_name is None or self.is_initializing():
            return average
        return lax.pmean(average, self.axis_name)

    def _devices(self):
        return 1 if self.axis_name is None else lax.axis_size(self.axis_name)


def normalise(
    x: jax.Array,
    kind: str,
    *,
    train: bool,
    axis_name: str | None,
    init_gain: float,
    name: str,
) -> jax.Array:
    """Applies the norm of that kind; to be called from a module's compact method.

    Args:
      x: [B, H, W, C].
      kind: one of `NORMS`.
      train: see `BatchNorm`.
      axis_name: see `BatchNorm`.
      init_gain: see `BatchNorm`.
      name: of the submodule that holds the parameters, if there are any.

    Returns:
      The same shape and dtype.
    """
    if kind == "none":
        return x
    if kind == "batch":
        norm = BatchNorm(axis_name=axis_name, init_gain=init_gain, name=name)
        return norm(x, train=train)
    if kind in ("instance", "instance_affine"):
        return InstanceNorm(affine=kind == "instance_affine", name=name)(x)
    raise ValueError(f"unknown norm {kind!r}; choose from {NORMS}")


def bias_before(kind: str) -> dict[str, bool]:
    """Returns the options of convolutions before this norm (the reference's rule).

    Before an instance norm a bias changes nothing, but published weights have it;
    before a batch norm, and without any norm, the reference leaves it out.
    """
    instance = kind.startswith("instance")
    return {"use_bias": instance, "dead_bias": instance}
