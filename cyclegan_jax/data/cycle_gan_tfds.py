"""The TFDS data set `cycle_gan/*`, prepared and read without TensorFlow.

TFDS's own builder extracts the authors' archive and lists its folders with TensorFlow.
This builder writes the same data set (name, version, features, splits) directly from
the archive, as array_record files. Two additions, which other readers ignore: examples
are in the order of the file names, and `image_names.json` contains these names.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import requests
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download.download_manager import (
    NonMatchingChecksumError,
)
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.sources import EncodedSource, ImageSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path

_SPLITS = {
    "train_a": "trainA",
    "train_b": "trainB",
    "test_a": "testA",
    "test_b": "testB",
}
_NAMES_FILE = "image_names.json"
_CONNECT_SECONDS = 15


# TFDS has no types: mypy does not see what its classes take.
class CycleGAN(cycle_gan.CycleGAN, skip_registration=True):  # type: ignore[call-arg]
    """TFDS's `cycle_gan`, without TensorFlow.

    Attributes:
      archive: a local archive to prepare from; None downloads the authors'.
    """

    name = "cycle_gan"
    # TFDS's own search for this file imports importlib_resources, which it no longer
    # requires.
    code_path = epath.Path(__file__)
    archive: epath.Path | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        info = super()._info()
        return tfds.core.DatasetInfo(
            builder=self,
            description=info.description,
            features=info.features,
            supervised_keys=info.supervised_keys,
            homepage=info.homepage,
            citation=info.citation,
            # TFDS would shuffle each split separately, which loses the test pairs.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        path = self.archive or dl_manager.download(_url(self.builder_config.name))
        archive = Archive(path)
        names = {split: archive.under(split) for split in _SPLITS.values()}
        if empty := [split for split, listed in names.items() if not listed]:
            raise UserError(f"{path} has no images in {', '.join(empty)}")
        # During preparation data_path is a temporary folder, renamed at the end.
        (self.data_path / _NAMES_FILE).write_text(json.dumps(names))
        return {
            split: self._generate_examples(archive, listed)
            for split, listed in names.items()
        }

    def _generate_examples(
        self, archive: Archive, names: list[str]
    ) -> Iterator[tuple[str, dict]]:
        for name in names:
            label = name.split("/")[0][-1]
            yield name, {"image": archive.read(name), "label": label}


def check_config(config: str) -> None:
    """Raises UserError if TFDS's `cycle_gan` has no such config."""
    known = [c.name for c in CycleGAN.BUILDER_CONFIGS]
    if config == "cityscapes":
        raise UserError(
            "TFDS may not distribute cycle_gan/cityscapes: get the images, then set "
            "config.data.dataset=cityscapes and config.data.path to their folder"
        )
    if config not in known:
        raise UserError(f"there is no cycle_gan/{config}, only: {', '.join(known)}")


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
    if missing := sorted(set(_SPLITS.values()) - set(builder.info.splits)):
        raise UserError(
            f"{path} is not TFDS's cycle_gan: it has no split {', '.join(missing)}"
        )
    try:
        read = {
            split: builder.as_data_source(
                tfds_split, decoders={"image": tfds.decode.SkipDecoding()}
            )
            for split, tfds_split in _SPLITS.items()
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


def load(
    config: str,
    data_dir: epath.PathLike,
    decoders: Mapping[str, Decoder],
    *,
    quiet: bool = False,
) -> dict[str, ImageSource]:
    """Opens ``cycle_gan/<config>`` under `data_dir`; prepares it first if necessary.

    It is prepared from ``<data_dir>/downloads/manual/<config>.zip`` if that exists,
    otherwise from the authors' archive, downloaded and verified against TFDS's
    checksum.

    Raises:
      UserError: there is no such config, or the data cannot be obtained.
    """
    check_config(config)
    data_dir = as_path(data_dir)
    builder = CycleGAN(config=config, data_dir=data_dir)
    if not is_prepared(builder.data_path):
        manual = data_dir / "downloads" / "manual" / f"{config}.zip"
        if quiet:
            tfds.disable_progress_bar()
        prepare(builder, manual if manual.exists() else None)
    return open_prepared(builder.data_path, decoders)


def prepare(builder: CycleGAN, archive: epath.Path | None = None) -> None:
    """Writes a builder's data set as array_record, from a local archive or a download.

    Args:
      builder: `CycleGAN(config=..., data_dir=...)`.
      archive: the authors' zip file; None downloads it.

    Raises:
      UserError: the archive cannot be obtained or used. No partial output remains.
    """
    builder.archive = archive
    if archive is None:
        _check_reachable(builder)
    downloads = builder.data_dir_root / "downloads" / builder.name
    before = set(_partial_downloads(downloads))
    try:
        builder.download_and_prepare(
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False, force_checksums_validation=True
            ),
        )
    except (OSError, tfds.download.DownloadError, NonMatchingChecksumError) as error:
        if is_prepared(builder.data_path):  # by another process, at the same time
            return
        raise UserError(_advice(builder, f"could not be prepared: {error}")) from error
    finally:
        for folder in set(_partial_downloads(downloads)) - before:
            folder.rmtree()


def _url(config: str) -> str:
    return cycle_gan._DL_URLS[config]


def _check_reachable(builder: CycleGAN) -> None:
    """Fails fast: without network, TFDS would retry for minutes."""
    url = _url(builder.builder_config.name)
    try:
        with requests.get(url, stream=True, timeout=_CONNECT_SECONDS) as response:
            response.raise_for_status()
    except requests.RequestException as error:
        what = f"is not in {builder.data_dir_root}, and {url} cannot be reached"
        raise UserError(_advice(builder, what)) from error


def _advice(builder: CycleGAN, what: str) -> str:
    config = builder.builder_config.name
    manual = builder.data_dir_root / "downloads" / "manual"
    return (
        f"cycle_gan/{config} {what}. Put the authors' {config}.zip into {manual}, or "
        f"pass --config.data.path=FILE with that archive or with a folder that holds "
        "trainA, trainB, testA and testB"
    )


def _partial_downloads(downloads: epath.Path) -> Iterable[epath.Path]:
    return downloads.glob("*.tmp.*") if downloads.exists() else ()


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
    file = path / _NAMES_FILE
    kept = json.loads(file.read_text()) if file.exists() else {}
    # Numbers differ between A and B: TFDS has shuffled them, so they are no pairs.
    return {
        split: kept.get(
            _SPLITS[split],
            [f"{_SPLITS[split]}/{_SPLITS[split]}_{i:05d}" for i in range(count)],
        )
        for split, count in counts.items()
    }


def _encoded(images: Sequence[dict], index: int) -> bytes:
    return images[index]["image"]
