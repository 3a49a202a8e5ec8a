"""The Inception network of FID: its published weights, and both common resizings."""

import functools

import jax
import numpy as np

from cyclegan_jax import images
from cyclegan_jax.core.networks.published import Published
from cyclegan_jax.metrics import inception
from cyclegan_jax.metrics.features import Extractor, resize


def legacy_pytorch(batch: np.ndarray) -> np.ndarray:
    """Resizes bilinearly without antialiasing, like pytorch-fid.

    Args:
      batch: uint8 [B, H, W, C].

    Returns:
      float32 [B, 299, 299, 3] in [-1, 1].
    """
    values = images.as_rgb(batch).astype(np.float32) / np.float32(255.0)
    shape = (len(batch), inception.SIZE, inception.SIZE, 3)
    resized = jax.image.resize(values, shape, "bilinear", antialias=False)
    return 2.0 * np.asarray(resized) - 1.0


# torch-fidelity and pytorch-fid publish the same file.
NETWORK = Published(
    name="inception",
    title="Inception v3 of 2015",
    module=inception.Inception(),
    features=inception.FEATURES,
    from_torch=inception.from_torch,
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
EXTRACTOR = Extractor(
    NETWORK,
    prepare={
        "clean": functools.partial(resize, side=inception.SIZE, middle=128.0),
        "legacy_pytorch": legacy_pytorch,
    },
    fid=True,
)
