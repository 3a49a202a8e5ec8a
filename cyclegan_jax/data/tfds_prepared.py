"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import functools
import json
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds
from etils import epath

from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.sources import EncodedSource, ImageSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

SPLITS = {
    "train_a": "trainA",
    "train_b": "trainB",
    "test_a": "testA",
    "test_b": "testB",
}
NAMES_FILE = "image_names.json"


def is_prepared(path: epath.PathLike) -> bool:
    """Whether a folder contains a data set prepared by TFDS."""
    path = as_path(path)
    return (path / "dataset_info.json").exists() and (path / "features.json").exists()


def open_prepared(
    path: epath.PathLike, decoders: Mapping[str, Decoder]
) -> dict[str, ImageSource]:
    """Opens a prepared `cycle_gan` directory, like ``.../horse2zebra/3.0.0``.

    Args:
      path: the directory with ``dataset_info.json``.
      decoders: how images are decoded, by split ("train_a", ...).

    Returns:
      The sources by split. Without `image_names.json` (if prepared by TFDS) names are
      numbers.

    Raises:
      UserError: splits of `cycle_gan` are missing, or are in a format that only
        TensorFlow reads.
    """
    path = as_path(path)
    _refuse_foreign_code(path / "features.json")
    builder = tfds.builder_from_directory(path)
    if missing := sorted(set(SPLITS.values()) - set(builder.info.splits)):
        raise UserError(
            f"{path} is not TFDS's cycle_gan: it has no split {', '.join(missing)}"
        )
    try:
        read = {
            split: builder.as_data_source(
                tfds_split, decoders={"image": tfds.decode.SkipDecoding()}
            )
            for split, tfds_split in SPLITS.items()
        }
    except NotImplementedError:
        raise UserError(
            f"{path} was prepared as {builder.info.file_format.value}, which only "
            "TensorFlow can read: set config.data.data_dir to another folder to "
            "prepare it again, or config.data.path to an archive or folder of images"
        ) from None
    names = _names(path, {split: len(images) for split, images in read.items()})
    return {
        split: EncodedSource(
            names[split],
            functools.partial(_encoded, images),
            decoder=decoders[split],
            where=str(path),
        )
        for split, images in read.items()
    }


def _refuse_foreign_code(file: epath.Path) -> None:
    """Allows only TFDS's own classes: TFDS imports those that a data set names."""
    try:
        pending = [json.loads(file.read_text())] if file.exists() else []
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid JSON: {error}") from error
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        if not isinstance(value, dict):
            continue
        pending += value.values()
        for key in ("type", "pythonClassName"):
            name = value.get(key, "")
            own = str(name).startswith("tensorflow_datasets.")
            if isinstance(name, str) and "." in name and not own:
                raise UserError(f"{file} names the class {name}, which is not TFDS's.")


def _names(path: epath.Path, counts: Mapping[str, int]) -> dict[str, list[str]]:
    file = path / NAMES_FILE
    kept = json.loads(file.read_text()) if file.exists() else {}
    # Numbers differ between A and B: TFDS has shuffled them, so they are no pairs.
    return {
        split: kept.get(
            SPLITS[split],
            [f"{SPLITS[split]}/{SPLITS[split]}_{i:05d}" for i in range(count)],
        )
        for split, count in counts.items()
    }


def _encoded(images: Sequence[dict], index: int) -> bytes:
    return images[index]["image"]
