"""`streets`, the built-in data set: street scenes and their label maps.

Generated from a seed in seconds, so that everything can be tried and measured without a
download: domain A consists of small "photographs", domain B of label maps in the
Cityscapes colours. A scene is a pure function of (seed, split, index). Training is
unpaired (`train_a` and `train_b` hold different scenes); the test images are pairs.
"""

import operator
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from cyclegan_jax.data.palettes import CITYSCAPES
from cyclegan_jax.data.streets import render
from cyclegan_jax.data.streets.looks import LOOKS
from cyclegan_jax.data.streets.scene import make_scene
from cyclegan_jax.errors import UserError

Kind = Literal["photo", "label", "class_map"]
Split = Literal["train_a", "train_b", "test"]
MIN_SIZE, MAX_SIZE = 32, 512


_DRAWN = 2  # Images per kind whose pixels are part of the fingerprint.


class StreetsSource:
    """A random-access source of images, one scene per index.

    `source[i]` is a uint8 image [size, size, 3], of a `class_map` [size, size] with
    indices into `palettes.CITYSCAPES`. Sources that agree in seed, split and index
    show the same scene, whatever their kind and size.

    Attributes:
        names: File-like names of the images, such as "train_a_photo_00012.png".

    Args:
        kind: "photo" for domain A, "label" for domain B, "class_map" for its indices.
        split: "train_a", "train_b" or "test"; their scenes are different.
        count: How many images.
        size: Their height and width in pixels, 32 to 512.
        seed: The data set's seed, not negative.
        look: "summer", or "autumn", which is harder: see `looks`.

    Raises:
        UserError: An argument out of its range.
    """

    names: Sequence[str]

    def __init__(
        self,
        kind: Kind,
        split: Split,
        count: int,
        size: int,
        seed: int = 0,
        look: str = "summer",
    ):
        for what, value, known in (
            ("kind", kind, get_args(Kind)),
            ("split", split, get_args(Split)),
            ("look", look, LOOKS),
        ):
            if value not in known:
                raise UserError(
                    f"streets has no {what} {value!r}; choose from {', '.join(known)}"
                )
        if count < 1:
            raise UserError(f"streets needs at least 1 image, not {count}")
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise UserError(
                f"streets makes images of {MIN_SIZE} to {MAX_SIZE} pixels, not {size}"
            )
        if seed < 0:
            raise UserError(f"the seed of streets must not be negative, got {seed}")
        self._kind, self._split, self._look = kind, split, look
        self._size, self._seed = size, seed
        self.names = [f"{split}_{kind}_{index:05d}.png" for index in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[operator.index(index)]  # IndexError when outside.
        key = [self._seed, get_args(Split).index(self._split), index]
        scene = make_scene(LOOKS[self._look], np.random.default_rng(key))
        if self._kind == "photo":
            return render.photo(scene, self._size, np.random.default_rng([*key, 1]))
        classes = render.class_map(scene, self._size)
        return CITYSCAPES.paint(classes) if self._kind == "label" else classes

    def content(self, index: int) -> bytes:
        """The parameters of the image; for the first ones also its pixels."""
        pixels = self[index].tobytes() if index < _DRAWN else b""
        return f"{self!r}[{index}]".encode() + pixels

    def __repr__(self) -> str:
        # Fingerprints of older runs are of a representation without a look.
        look = "" if self._look == "summer" else f", look={self._look!r}"
        return (
            f"StreetsSource({self._kind!r}, {self._split!r}, {len(self)}, "
            f"{self._size}, seed={self._seed}{look})"
        )
