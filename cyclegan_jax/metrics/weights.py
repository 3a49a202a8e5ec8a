"""Takes PyTorch's tensors for networks that name their layers as PyTorch does."""

from collections.abc import Mapping

import numpy as np

from cyclegan_jax.errors import UserError


def take(
    tensors: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
    *,
    network: str,
    source: str,
) -> np.ndarray:
    """Returns a tensor as float32; a kernel as [H, W, in, out].

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
    return tensor.transpose(2, 3, 1, 0) if len(shape) == 4 else tensor
