"""Masks: which pixels of an image its translation should keep.

A mask is a file beside the image: all of trainA's are in trainA_mask, named alike. Once
they are read, an image's mask is its last channel until the batch is made, so that
whatever crops or mirrors the image does the same to the mask.
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator

import numpy as np

from cyclegan_jax.data import arrays, decode, traits
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.decode import Decoder, UnreadableImage
from cyclegan_jax.data.preprocess import resize_nearest
from cyclegan_jax.data.ranges import numbers
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.errors import UserError

NONZERO = "nonzero"
_LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")  # Formats of Pillow's that change values.
_LOOKED_AT = 8  # Masks examined by `notes`.

Transform = Callable[[np.ndarray, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class MaskDecoder(Decoder):
    """Decodes masks to uint8 [H, W, 1]: 1 where the pixel is kept, 0 elsewhere.

    Attributes:
      values: those of a label map that are kept; none: all but 0, of any channel.
    """

    values: tuple[int, ...] = ()

    @classmethod
    def of(cls, setting: str, *, as_stored: bool = False) -> "MaskDecoder":
        """Returns the decoder for "nonzero", or values such as "24, 26".

        Raises:
          UserError: it is neither.
        """
        try:
            values = tuple(map(int, numbers("" if setting == NONZERO else setting)))
        except ValueError:
            values = ()
        if not values and setting != NONZERO:
            raise UserError(
                f"config.data.masks is {setting!r}; it can be {NONZERO!r}, or the"
                " values of a label map that are kept, such as '24, 26'"
            )
        return cls(as_stored=as_stored, values=values)

    def __call__(self, source: bytes | str | os.PathLike, name: str) -> np.ndarray:
        """Decodes a mask; see `Decoder`.

        Raises:
          UnreadableImage: it cannot be decoded, or its values mean nothing here.
        """
        stored = self.stored(source, name)
        if not self.values:
            return np.any(stored != 0, axis=-1, keepdims=True).astype(np.uint8)
        if (stored != stored[..., :1]).any():
            raise UnreadableImage(
                f"mask {name} is in colour, but config.data.masks names values: save it"
                " as grey values or with a palette, whose indices are the values"
            )
        return np.isin(stored[..., :1], self.values).astype(np.uint8)

    def stored(self, source: bytes | str | os.PathLike, name: str) -> np.ndarray:
        """Returns the whole numbers [H, W, C] of a mask, without transparency.

        Of pictures with a palette, these are its indices where `values` are named, and
        otherwise its colours, since 0 need not be black.
        """
        with decode.reading(source, name) as data:
            if arrays.is_numpy(data):
                stored = arrays.read_numpy(data)
            else:
                with decode.open_image(data, name) as image:
                    if changed := _changed(image, data):
                        raise UnreadableImage(
                            f"mask {name} is a {image.format}{changed}: save the"
                            " original as grey values or with a palette, as PNG, or as"
                            " .npy"
                        )
                    image.load()
                    if not self.as_stored:
                        decode.turn_upright(image)
                    by_colour = image.mode == "P" and not self.values
                    stored = np.asarray(image.convert("RGBA") if by_colour else image)
                    if image.mode == "L":
                        stored = stored // arrays.spread(data)
                stored = np.atleast_3d(stored)
                stored = stored[..., : 3 if stored.shape[-1] > 2 else 1]
        if stored.dtype.kind not in "bui" or stored.ndim != 3:
            raise UnreadableImage(
                f"mask {name} is an array {list(stored.shape)} of {stored.dtype}, not"
                " whole numbers [height, width]"
            )
        return stored.astype(np.uint8) if stored.dtype == bool else stored


def _changed(image, data):
    """Says how Pillow changes the values of an image in reading; "" if not at all."""
    compressed = image.format == "WEBP" and b"VP8L" not in data
    if image.format in _LOSSY or compressed or image.info.get("compression") == "jpeg":
        return ", whose compression changes values"
    if not image.mode.startswith("I") and traits.has_16_bits(image, data):
        return " with colours of 16 bits, which are read with 8"
    if (
        image.format == "PPM"
        and image.mode != "F"
        and traits.largest(image) not in (255, 65535)
    ):
        return f" of values up to {traits.largest(image)}, which are read up to 255"
    mode = traits.raw_mode(image)
    if image.format == "TIFF" and mode.startswith(("L;2", "L;4")):
        return f" of {mode[2]} bits, which are read as 8"
    return ""


class MaskedSource:
    """Images whose last channel is their mask: 1 for pixels that are kept, else 0."""

    def __init__(self, images: ImageSource, masks: ImageSource):
        """Args: images, and the mask of each."""
        self.names, self._images, self._masks = images.names, images, masks

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        image, mask = self._images[index], self._masks[index]
        if image.shape[:2] != mask.shape[:2]:
            raise UserError(
                f"image {self.names[index]} has {image.shape[1]}x{image.shape[0]}"
                f" pixels, but its mask {self._masks.names[index]} {mask.shape[1]}x"
                f"{mask.shape[0]}: they must have one size"
            )
        return _join(image, mask[..., 0])

    def content(self, index: int) -> bytes:
        """The content of the image."""
        return self._images.content(index)


def with_masks(transform: Transform) -> Transform:
    """Makes a transform of images (such as `Preprocess.load`) one of a `MaskedSource`.

    Args:
      transform: resizes images; the mask gets their size, by the nearest pixels.
    """

    def apply(image: np.ndarray, name: str) -> np.ndarray:
        image, mask = split_off(image)
        loaded = transform(image, name)
        small = resize_nearest(mask[..., 0].astype(np.uint8), *loaded.shape[:2])
        return _join(loaded, small)

    return apply


def split_off(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [..., C] and their masks, bool [..., 1], of [..., C + 1]."""
    return images[..., :-1], images[..., -1:] > 0


def _join(image, mask):
    return np.concatenate([image, mask[..., None].astype(image.dtype)], axis=-1)


def notes(
    dataset: Dataset, splits: Collection[str], decoder: MaskDecoder
) -> Iterator[str]:
    """Yields which images have no masks, and which masks keep nothing or everything.

    Args:
      dataset: with its masks.
      splits: those that were opened.
      decoder: of the masks.
    """
    used = [s for s in splits if len(getattr(dataset, s))]
    if missing := [s for s in used if s not in dataset.masks]:
        yield (
            f"there are no masks of {', '.join(missing)}, which would be in folders"
            " beside the images', such as trainA_mask beside trainA"
        )
    for split in used:
        if split in dataset.masks:
            yield from _odd(split, dataset.masks[split], decoder)


def _odd(split: str, masks: ImageSource, decoder: MaskDecoder) -> Iterator[str]:
    shares: list[float] = []
    values: set[int] = set()
    indices = np.linspace(0, len(masks) - 1, min(_LOOKED_AT, len(masks)))
    for index in indices.astype(int).tolist():
        try:
            shares.append(float(masks[index].mean()))
            stored = decoder.stored(masks.content(index), masks.names[index])
        except UnreadableImage:  # Reported when it is used.
            continue
        values.update(np.unique(stored).tolist())
    if shares and (max(shares) == 0 or min(shares) == 1):
        kept = ", ".join(map(str, decoder.values)) or NONZERO
        some = ", ".join(map(str, sorted(values)[:8])) + ", ..." * (len(values) > 8)
        yield (
            f"{len(shares)} masks of {split} were looked at, and they keep"
            f" {'every' if shares[0] else 'no'} pixel: config.data.masks is {kept!r},"
            f" their values are {some}"
        )
