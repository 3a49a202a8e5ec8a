"""The layers that all networks are built from, with the numbers of the reference.

Shapes use B (batch), H, W (space) and C (channels); images are channels last.
Parameters are float32; `dtype` is what the layers compute in.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cyclegan_jax.core.networks import convolutions, statistics

NORMS = ("instance", "instance_affine", "batch", "none")
INITS = ("normal", "xavier", "kaiming", "orthogonal")
EPSILON = 1e-5  # PyTorch's default for both norms; Flax's is 1e-6.


def kernel_init(name: str, gain: float, *, transposed: bool = False) -> Callable:
    """Returns the reference's initialiser for kernels [kh, kw, I, O].

    Args:
      name: `normal` (N(0, gain), the published one), `xavier`, `kaiming` (fan in) or
        `orthogonal`.
      gain: standard deviation for `normal`, factor for `xavier` and `orthogonal`;
        `kaiming` ignores it, as in the reference.
      transposed: for a transposed convolution, whose PyTorch weight is [I, O, kh, kw]:
        there "fan in" counts O, and the orthogonal rows are those of I.
    """
    fan_in, fan_out = (-1, -2) if transposed else (-2, -1)
    if name == "normal":
        return nn.initializers.normal(gain)
    if name == "xavier":
        return nn.initializers.variance_scaling(
            gain**2, "fan_avg", "normal", in_axis=fan_in, out_axis=fan_out
        )
    if name == "kaiming":
        return nn.initializers.variance_scaling(
            2.0, "fan_in", "normal", in_axis=fan_in, out_axis=fan_out
        )
    if name == "orthogonal":
        return nn.initializers.orthogonal(gain, column_axis=fan_out)
    raise ValueError(f"unknown initialisation {name!r}; choose from {INITS}")


class Conv(nn.Module):
    """A convolution with PyTorch's padding.

    Attributes:
      features: output channels.
      kernel_size: height and width of the kernel.
      stride: step of the window.
      padding: zeros on each side; with `reflect`, mirrored pixels instead.
      reflect: whether the padding mirrors the image.
      use_bias: whether a bias is added.
      init_type: name of the kernel's initialisation, see `kernel_init`.
      init_gain: its gain.
      dtype: of the computation.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    reflect: bool = False
    use_bias: bool = True
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, I] to [B, H', W', O]."""
        k = self.kernel_size
        init = kernel_init(self.init_type, self.init_gain)
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        y = convolutions.conv(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
            reflect=self.reflect,
        )
        return _add_bias(self, y)


class ConvTranspose(nn.Module):
    """A transposed convolution that doubles H and W, with PyTorch's padding 1.

    The kernel is PyTorch's weight [I, O, kh, kw], flipped in space and channels last.
    Attributes are those of `Conv`.
    """

    features: int
    kernel_size: int
    use_bias: bool = True
    init_type: str = "normal"
    init_gain: float = 0.02
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, I] to [B, 2H, 2W, O]."""
        k = self.kernel_size
        init = kernel_init(self.init_type, self.init_gain, transposed=True)
        kernel = self.param("kernel", init, (k, k, x.shape[-1], self.features))
        y = convolutions.conv_transpose(
            x.astype(self.dtype), kernel.astype(self.dtype), stride=2, padding=1
        )
        return _add_bias(self, y)


def _add_bias(module, y):
    if not module.use_bias:
        return y
    bias = module.param("bias", nn.initializers.zeros_init(), (module.features,))
    return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


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
        y = x.astype(jnp.float32)
        mean, var = statistics.moments(y)
        y = (y - mean) * lax.rsqrt(var + EPSILON)
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


def norm_wants_bias(kind: str) -> bool:
    """Whether convolutions before this norm carry a bias (the reference's rule).

    Before an instance norm the bias changes nothing, but published weights have it;
    before a batch norm, and without any norm, the reference leaves it out.
    """
    return kind.startswith("instance")


def dropout(
    x: jax.Array, keys: jax.Array | None, layer: int, rate: float = 0.5
) -> jax.Array:
    """Zeroes some of the values, by one key an image so that devices do not matter.

    Args:
      x: [B, H, W, C].
      keys: [B] PRNG keys, or None for no dropout.
      layer: number folded into the keys, different for each layer of a network.
      rate: share of the values that are dropped; the others grow accordingly.
    """
    if keys is None:
        return x
    kept = 1.0 - rate

    def mask(key):
        return jax.random.bernoulli(jax.random.fold_in(key, layer), kept, x.shape[1:])

    return jnp.where(jax.vmap(mask)(keys), x / kept, jnp.zeros_like(x))
