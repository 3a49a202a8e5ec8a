"""Fingerprint of a data set: digests of its images' names and bytes."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from cyclegan_jax.data import colour
from cyclegan_jax.data.dataset import SPLITS, Dataset
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.data.traits import traits as traits_of

_NAMED = "sha256_with_names"


class Contents(NamedTuple):
    """The contents of a data set.

    Attributes:
      splits: split -> {"images": how many, "sha256": of their bytes as stored, in
        their order, "sha256_with_names": of their names, too}; and the same of
        the masks of those that have some, such as "train_a_mask".
      traits: `traits.TRAITS` -> number of images that have them.
    """

    splits: dict[str, dict[str, int | str]]
    traits: Counter[str]


def read(dataset: Dataset, splits: Sequence[str] = SPLITS) -> Contents:
    """Reads every image of some splits once."""
    contents = Contents({}, Counter())
    for split in splits:
        source, traits = getattr(dataset, split), Counter[str]()
        contents.splits[split] = _of_split(source, traits)
        if not dataset.pixels(split).measured:  # Others are not converted.
            contents.traits.update(traits)
        if (masks := dataset.masks.get(split)) is not None:
            contents.splits[f"{split}_mask"] = _of_split(masks, Counter())
    return contents


def describe(traits: Mapping[str, int], *, as_stored: bool = False) -> str:
    """Describes in one line which images are converted when read, and how.

    Args:
      traits: see `Contents.traits`.
      as_stored: how they are decoded, see `decode_image`.
    """
    changed = not as_stored
    meanings = {
        "animated": "animated or of several pages, of which the first is used",
        "turned": "turned upright, as their EXIF data ask"
        if changed
        else "not turned as their EXIF data ask",
        "hdr": f"of HDR: {colour.HDR_CUT}"
        if changed
        else "of HDR, read as if they were not",
        "profile": "converted to sRGB from another colour profile"
        if changed
        else "with a colour profile that is ignored",
        "alpha": "with transparency, which only 4 channels keep",
        "16 bits": "of 16 bits, read as 8 unless config.data.dtype_a and dtype_b say"
        " uint16 (docs/data.md)",
    }
    return "; ".join(
        f"{traits[t]:,} {text}" for t, text in meanings.items() if traits.get(t)
    )


def fingerprint(dataset: Dataset) -> dict[str, dict[str, int | str]]:
    """Reads every image once; see `Contents.splits`."""
    return read(dataset).splits


def same_images(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two fingerprints of a split are of the same images in the same order.

    Names count only where one of the two is from when `sha256` was with names.
    """
    if not one or not other:
        return one == other
    if _NAMED in one and _NAMED in other:
        digests = [x.get("sha256") for x in (one, other)]
    else:
        digests = [x.get(_NAMED, x.get("sha256")) for x in (one, other)]
    return one.get("images") == other.get("images") and digests[0] == digests[1]


def _of_split(source: ImageSource, traits: Counter[str]) -> dict[str, int | str]:
    def look(index: int) -> tuple[bytes, list[str]]:
        content = source.content(index)
        return hashlib.sha256(content).digest(), traits_of(content)

    named, contents = hashlib.sha256(), hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, range(len(source)))
        for name, (digest, special) in zip(source.names, looks, strict=True):
            encoded = os.fsencode(name)
            named.update(len(encoded).to_bytes(8, "big") + encoded + digest)
            contents.update(digest)
            traits.update(special)
    return {
        "images": len(source),
        "sha256": contents.hexdigest(),
        _NAMED: named.hexdigest(),
    }
