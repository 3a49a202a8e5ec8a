"""Label colours: class indices to images and back."""

import dataclasses
import json
from collections.abc import Collection

import numpy as np
from etils import epath

from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

VOID = 255
"""The index of unlabelled pixels, which are not scored."""
LABEL_DISTANCE = 40.0
"""Label maps are read with this much tolerance (Euclidean, of RGB in 0..255): enough
for JPEG's noise, less than the distance of Cityscapes' unlabelled areas to a class."""

_CHUNK_PIXELS = 1 << 17  # Bounds the float32 [pixels, K] scores: 10 MB for K = 19.


@dataclasses.dataclass(frozen=True)
class Palette:
    """The classes of a label map and the colour each is painted in.

    Attributes:
        names: The K class names, in index order, all different.
        colours: The K (red, green, blue) colours, 0..255, all different.

    Raises:
        UserError: Not 1..255 classes, or a repeated name or colour, or a colour
            that is not three whole numbers in 0..255.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    def __post_init__(self):
        if len(self.names) != len(self.colours) or not 1 <= len(self.names) <= VOID:
            raise UserError(
                f"a palette needs 1 to {VOID} classes with one colour each; "
                f"got {len(self.names)} names and {len(self.colours)} colours"
            )
        for name, colour in zip(self.names, self.colours, strict=True):
            _check_colour(name, colour)
        for what, values in (("name", self.names), ("colour", self.colours)):
            repeated = [value for value in values if values.count(value) > 1]
            if repeated:
                raise UserError(
                    f"the {what} {repeated[0]} appears twice in the palette; "
                    f"give every class its own {what}"
                )

    @classmethod
    def from_file(cls, path: epath.PathLike) -> "Palette":
        """Reads a palette from a small file; its order is the class order.

        A `.json` file holds one object, `{"road": [128, 64, 128], ...}`. Any other
        file is text with one class per line, `road 128 64 128`: a name, which may hold
        spaces, and three numbers; empty lines and lines starting with `#` are skipped.

        Args:
            path: The file to read.

        Raises:
            UserError: The file is missing, unreadable or no valid palette.
        """
        path = as_path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the palette file {path}: {error}") from error
        try:
            classes = _parse_json(text) if path.suffix == ".json" else _parse_text(text)
            return cls(
                tuple(name for name, _ in classes),
                tuple(colour for _, colour in classes),
            )
        except UserError as error:
            raise UserError(f"palette file {path}: {error}") from error

    @property
    def array(self) -> np.ndarray:
        """The colours, uint8 [K, 3]."""
        return np.array(self.colours, np.uint8)

    def paint(self, class_map: np.ndarray) -> np.ndarray:
        """Maps class indices [..., H, W] to their colours, uint8 [..., H, W, 3].

        Raises:
            UserError: An index without a class.
        """
        low, high = int(np.min(class_map)), int(np.max(class_map))
        if low < 0 or high >= len(self.names):
            raise UserError(
                f"the class map holds the index {low if low < 0 else high}, but the "
                f"palette's classes are 0 to {len(self.names) - 1}"
            )
        return self.array[class_map]

    def subset(self, indices: Collection[int]) -> "Palette":
        """The palette of some of the classes, in that order."""
        names = tuple(self.names[i] for i in indices)
        return Palette(names, tuple(self.colours[i] for i in indices))

    def nearest(self, images: np.ndarray, within: float = np.inf) -> np.ndarray:
        """Maps every pixel to the class whose colour is nearest in RGB.

        This is how a generated label image is read (paper section 5.1.2 scores such
        maps); of two equally near classes the first wins.

        Args:
            images: uint8 [..., H, W, 3].
            within: Pixels farther than this from every colour become `VOID`.

        Returns:
            Class indices, uint8 [..., H, W].

        Raises:
            UserError: The images are not uint8 with three channels.
        """
        if images.dtype != np.uint8 or images.shape[-1:] != (3,):
            raise UserError(
                "colours are matched in uint8 images with 3 channels; "
                f"got {images.dtype} of shape {tuple(images.shape)}"
            )
        colours = self.array.astype(np.float32)
        # |x - c|^2 = |x|^2 - 2xc + |c|^2, and |x|^2 is the same for every class. All
        # terms are integers below 2^24, so float32 is exact and ties are true ties.
        squares = (colours**2).sum(-1)
        pixels = images.reshape(-1, 3)
        classes = np.empty(len(pixels), np.uint8)
        for start in range(0, len(pixels), _CHUNK_PIXELS):
            chunk = pixels[start : start + _CHUNK_PIXELS].astype(np.float32)
            scores = squares - chunk @ (2 * colours.T)
            nearest = scores.argmin(-1).astype(np.uint8)
            far = scores.min(-1) + (chunk**2).sum(-1) > within**2
            classes[start : start + _CHUNK_PIXELS] = np.where(far, VOID, nearest)
        return classes.reshape(images.shape[:-1])


def _check_colour(name: str, colour: tuple[int, int, int]) -> None:
    whole = all(type(value) is int and 0 <= value <= 255 for value in colour)
    if len(colour) != 3 or not whole:
        raise UserError(
            f"class {name!r} has the colour {colour}; "
            "a colour is three whole numbers from 0 to 255"
        )


def _parse_json(text: str) -> list[tuple[str, tuple]]:
    try:
        # Pairs, not a dict: a name given twice must not vanish silently.
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except json.JSONDecodeError as error:
        raise UserError(f"is not valid JSON: {error}") from error
    if not text.lstrip().startswith("{"):
        raise UserError('must hold one object such as {"road": [128, 64, 128]}')
    for name, colour in pairs:
        if not isinstance(colour, list):
            raise UserError(f"class {name!r} needs a list of three numbers")
    return [(name, tuple(colour)) for name, colour in pairs]


def _parse_text(text: str) -> list[tuple[str, tuple]]:
    classes = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, values = " ".join(words[:-3]), words[-3:]
        if not name or not all(value.isdecimal() for value in values):
            raise UserError(
                f"line {number} is {line.strip()!r}; write a name and three numbers, "
                "such as: road 128 64 128"
            )
        classes.append((name, tuple(int(value) for value in values)))
    return classes


_CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

CITYSCAPES = Palette(tuple(_CITYSCAPES), tuple(_CITYSCAPES.values()))
"""The 19 evaluation classes of Cityscapes in trainId order, official colours."""
