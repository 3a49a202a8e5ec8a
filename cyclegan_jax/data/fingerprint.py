"""What a data set holds, in a few digits: names and bytes of its images."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from cyclegan_jax.data.dataset import SPLITS, Dataset
from cyclegan_jax.data.sources import ImageSource


def fingerprint(dataset: Dataset) -> dict[str, dict[str, int | str]]:
    """Reads every image once.

    Returns:
      Split -> {"images": how many, "sha256": of their names and bytes as stored}.
    """
    return {split: _of_split(getattr(dataset, split)) for split in SPLITS}


def _of_split(source: ImageSource) -> dict[str, int | str]:
    def digest(index):
        return hashlib.sha256(source.content(index)).digest()

    whole = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(digest, range(len(source)))
        for name, image in zip(source.names, digests, strict=True):
            encoded = os.fsencode(name)
            whole.update(len(encoded).to_bytes(8, "big") + encoded + image)
    return {"images": len(source), "sha256": whole.hexdigest()}
