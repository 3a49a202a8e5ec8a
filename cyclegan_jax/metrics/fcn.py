"""A compact fully convolutional network that segments photographs.

After Long et al. 2015: class scores at several strides, upsampled and summed. The
published score uses an FCN-8s on VGG-16, trained on photographs of Cityscapes; this one
is small enough to be trained in minutes on any set with class maps.
"""

import functools
import json
import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from etils import epath
from flax import linen as nn
from flax import traverse_util

from cyclegan_jax import files, images
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import labels

WIDTHS = (32, 64, 128, 128)  # Channels at strides 1, 2, 4 and 8.
FILE_NAME = "fcn.safetensors"  # In a run's folder.
_FORMAT = "cyclegan_jax fcn 1"


class FCN(nn.Module):
    """Class scores of photographs.

    Attributes:
      classes: K.
      widths: channels at each stride.
    """

    classes: int
    widths: tuple[int, ...] = WIDTHS

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, 3] in [-1, 1] to logits [B, H, W, K]."""
        size, levels = x.shape[1:3], []
        for level, width in enumerate(self.widths):
            if level:
                x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")
            for _ in range(2):
                x = nn.Conv(width, (3, 3))(x)
                x = nn.relu(nn.GroupNorm(num_groups=8)(x))
            levels.append(nn.Conv(self.classes, (1, 1))(x))
        shape = (*size, self.classes)
        upsampled = [
            jax.image.resize(scores, (len(scores), *shape), "bilinear")
            for scores in levels
        ]
        return sum(upsampled)


class Segmenter:
    """A trained segmentation network, as a function of images.

    Attributes:
      names: the K classes, in order.
      side: height and width in pixels of the images it was trained on.
    """

    def __init__(self, params: Any, names: tuple[str, ...], side: int):
        """Sets the parameters of an `FCN` with `len(names)` classes."""
        self.names, self.side, self._params = names, side, params
        self._apply = jax.jit(functools.partial(_classify, FCN(len(names))))

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        """Predicts the class of each pixel.

        Args:
          photos: uint8 [B, H, W, C].

        Returns:
          uint8 [B, side, side].
        """
        rgb = images.as_rgb(photos)
        photos = np.stack([resize(p, self.side, self.side) for p in rgb])
        return np.asarray(self._apply(self._params, photos))

    def save(self, path: epath.PathLike) -> None:
        """Writes a safetensors file whose metadata describe the network.

        Raises:
          UserError: it cannot be written.
        """
        flat = traverse_util.flatten_dict(jax.device_get(self._params), sep="/")
        about = {"format": _FORMAT, "classes": list(self.names), "side": self.side}
        content = safetensors.numpy.save(flat, {"about": json.dumps(about)})
        path = files.as_path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, content)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}).") from error

    @classmethod
    def load(cls, path: epath.PathLike, names: tuple[str, ...]) -> "Segmenter":
        """Reads what `save` wrote.

        Args:
          path: of the file.
          names: the classes of the data to segment.

        Raises:
          UserError: the file is missing, is not an FCN, or has other classes.
        """
        try:
            content = files.as_path(path).read_bytes()
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length])
            about = json.loads(header["__metadata__"]["about"])
            tensors = safetensors.numpy.load(content)
            theirs, side = tuple(about["classes"]), about["side"]
            known = about["format"] == _FORMAT
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{os.fspath(path)} cannot be read ({reason}).") from error
        except (ValueError, KeyError, TypeError, safetensors.SafetensorError):
            known = False
        if not known:
            raise UserError(f"{os.fspath(path)} was not written by train_fcn.")
        if theirs != tuple(names):
            raise UserError(
                f"{os.fspath(path)} names {len(theirs)} classes ({theirs[0]}, ...), the"
                f" data have {len(names)} ({names[0]}, ...): train one on these data."
            )
        return cls(_checked(tensors, len(theirs), path), theirs, side)


def load(
    setting: str, workdir: epath.PathLike, names: Sequence[str] | None
) -> tuple[Segmenter | None, str]:
    """Loads the network that a setting or flag names.

    Args:
      setting: a file of `train_fcn`; `auto`: the one in the run's folder; or `none`.
      workdir: the run's folder.
      names: the classes of the data; None where there are none.

    Returns:
      The network or None, and a note for the user.

    Raises:
      UserError: the file cannot be used.
    """
    if names is None:
        if setting not in ("auto", "none"):
            raise UserError(f"--fcn={setting}: the data have no classes to recognise.")
        return None, ""
    if setting == "none":
        return None, "FCN scores were not requested."
    default = files.as_path(workdir) / FILE_NAME
    if setting == "auto" and not default.exists():
        return None, (
            "FCN scores of generated photographs are missing: python -m"
            f" cyclegan_jax.train_fcn --workdir={workdir} trains the network for them."
        )
    return Segmenter.load(default if setting == "auto" else setting, tuple(names)), ""


def score_photos(
    segmenter: Segmenter, photos: ImageSource, truth: labels.Truth
) -> dict[str, float]:
    """Returns per_pixel, per_class and class_iou of photographs, uint8 [H, W, C]."""
    scorer = labels.Scorer(truth)
    for index in range(len(photos)):
        scorer.add(segmenter(photos[index][None]))
    return scorer.scores()


def _classify(module, params, photos):
    logits = module.apply({"params": params}, images.to_float(photos))
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)


def _checked(tensors, classes, path):
    """Returns the tensors as a tree; raises if they are not those of an FCN."""
    blank = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    expected = jax.eval_shape(FCN(classes).init, jax.random.key(0), blank)["params"]
    for name, leaf in traverse_util.flatten_dict(expected, sep="/").items():
        if name not in tensors or tensors[name].shape != leaf.shape:
            raise UserError(f"{os.fspath(path)}: the tensor {name!r} does not fit.")
    return traverse_util.unflatten_dict(tensors, sep="/")
