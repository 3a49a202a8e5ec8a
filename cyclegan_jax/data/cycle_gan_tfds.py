"""The TFDS data set `cycle_gan/*`, prepared and read without TensorFlow.

TFDS's own builder extracts the authors' archive and lists its folders with TensorFlow.
This builder writes the same data set (name, version, features, splits) directly from
the archive, as array_record files. Two additions, which other readers ignore: examples
are in the order of the file names, and `image_names.json` contains these names.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

import requests
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download.download_manager import (
    NonMatchingChecksumError,
)
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.decode import Decoder
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.data.tfds_prepared import (
    NAMES_FILE,
    SPLITS,
    is_prepared,
    open_prepared,
)
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path, is_remote

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
        names = {split: archive.under(split) for split in SPLITS.values()}
        if empty := [split for split, listed in names.items() if not listed]:
            raise UserError(f"{path} has no images in {', '.join(empty)}")
        # During preparation data_path is a temporary folder, renamed at the end.
        (self.data_path / NAMES_FILE).write_text(json.dumps(names))
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


def is_here(config: str, data_dir: epath.PathLike) -> bool:
    """Whether ``cycle_gan/<config>`` is prepared, so that `load` fetches nothing."""
    check_config(config)
    return is_prepared(CycleGAN(config=config, data_dir=as_path(data_dir)).data_path)


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
    if is_remote(builder.data_dir_root):  # array_record writes to file systems only.
        raise UserError(
            f"{builder.data_dir_root}: data cannot be prepared in a bucket; prepare"
            " them with --config.data.data_dir=LOCAL_FOLDER, copy that folder there,"
            " and name it again."
        )
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
