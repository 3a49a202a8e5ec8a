"""The TFDS data set cycle_gan/*: prepared, found again, downloaded; no TensorFlow."""

import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import zipfile

import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.utils import Size
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_jax.data import cycle_gan_tfds, load_dataset
from cyclegan_jax.errors import UserError

NAME = "cycle_gan/facades"
COUNTS = {"trainA": 3, "trainB": 4, "testA": 12, "testB": 12}


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (value, 0, 255)).save(buffer, "PNG")
    return buffer.getvalue()


def write_archive(path, broken=False, counts=COUNTS):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for base, (split, count) in enumerate(counts.items()):
            for i in reversed(range(count)):
                archive.writestr(
                    f"facades/{split}/{i}_{split[-1]}.png", png(50 * base + i)
                )
    if broken:
        data = bytearray(path.read_bytes())
        data[data.index(png(101)) + 20] ^= 255  # testA/1_A.png
        path.write_bytes(data)
    return path


@pytest.fixture
def data_dir(tmp_path):
    """A TFDS folder with the authors' archive in the place for manual downloads."""
    write_archive(tmp_path / "tfds" / "downloads" / "manual" / "facades.zip")
    return tmp_path / "tfds"


def load(data_dir, **options):
    return load_dataset(NAME, data_dir=data_dir, quiet=True, **options)


def check(dataset):
    # Names sort as text: 0_A, 10_A, 11_A, 1_A, 2_A, ...
    order = sorted(range(12), key=lambda i: f"{i}_A.png")
    assert list(dataset.test_b.names) == [f"testB/{i}_B.png" for i in order]
    reds = [int(dataset.test_b[i][0, 0, 0]) for i in range(12)]
    assert reds == [150 + i for i in order]
    assert [int(dataset.train_b[i][0, 0, 0]) for i in range(4)] == [50, 51, 52, 53]
    assert dataset.train_a[0].shape == (4, 5, 3)
    assert dataset.paired_test
    assert not dataset.paired_train


def test_prepared_once_and_found_again(data_dir):
    check(load(data_dir))
    shutil.rmtree(data_dir / "downloads")
    check(load(data_dir))
    prepared = data_dir / "cycle_gan" / "facades" / "3.0.0"
    check(load_dataset(NAME, path=prepared))


def test_what_is_written_is_the_tfds_data_set(data_dir):
    load(data_dir)
    builder = tfds.builder_from_directory(data_dir / "cycle_gan" / "facades" / "3.0.0")
    official = next(
        c for c in cycle_gan.CycleGAN.BUILDER_CONFIGS if c.name == "facades"
    )
    assert (builder.name, str(builder.version)) == ("cycle_gan", str(official.version))
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts == COUNTS
    assert set(builder.info.features) == {"image", "label"}
    examples = builder.as_data_source(
        "testA", decoders={"image": tfds.decode.SkipDecoding()}
    )
    assert examples[1]["image"] == png(110)  # 10_A.png, byte for byte
    assert builder.info.features["label"].int2str(examples[1]["label"]) == "A"


def test_training_on_pairs(tmp_path):
    """As `configs/pix2pix.py:facades` does: the names say which images belong."""
    counts = COUNTS | {"trainA": 12, "trainB": 12}
    write_archive(tmp_path / "downloads" / "manual" / "facades.zip", counts=counts)
    dataset = load(tmp_path, paired=True)
    assert dataset.paired_train
    reds = [
        [int(source[i][0, 0, 0]) for i in range(12)]
        for source in (dataset.train_a, dataset.train_b)
    ]
    assert reds[0] != sorted(reds[0])  # 0_A, 10_A, 11_A, 1_A, ...
    assert reds[1] == [50 + red for red in reds[0]]


def test_training_on_pairs_leaves_out_who_has_no_partner(data_dir):
    dataset = load(data_dir, paired=True)
    assert dataset.train_a.names == (
        "trainA/0_A.png",
        "trainA/1_A.png",
        "trainA/2_A.png",
    )
    assert dataset.train_b.names == (
        "trainB/0_B.png",
        "trainB/1_B.png",
        "trainB/2_B.png",
    )
    assert dataset.left_out == {"without a partner": ["trainB/3_B.png"]}


def test_a_set_that_tfds_prepared_itself_has_no_names_and_no_pairs(data_dir):
    load(data_dir)
    prepared = data_dir / "cycle_gan" / "facades" / "3.0.0"
    (prepared / "image_names.json").unlink()
    dataset = load(data_dir, channels_b=1)
    assert dataset.test_a.names[11] == "testA/testA_00011"
    assert dataset.test_b[0].shape == (4, 5, 1)
    assert not dataset.paired_test


def test_a_format_that_needs_tensorflow_is_refused(data_dir):
    load(data_dir)
    prepared = data_dir / "cycle_gan" / "facades" / "3.0.0"
    info = json.loads((prepared / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (prepared / "dataset_info.json").write_text(json.dumps(info))
    for file in prepared.glob("*array_record*"):
        file.rename(prepared / file.name.replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match="prepared as tfrecord, which only TensorFlow"):
        load(data_dir)


def test_a_damaged_archive_leaves_nothing_half_written(tmp_path):
    write_archive(tmp_path / "downloads" / "manual" / "facades.zip", broken=True)
    with pytest.raises(UserError, match=r"entry testA/1_A\.png of .*facades\.zip"):
        load(tmp_path)
    assert list((tmp_path / "cycle_gan" / "facades").glob("*")) == []


def test_an_archive_without_a_split_is_refused(tmp_path):
    path = tmp_path / "downloads" / "manual" / "facades.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("facades/trainA/1.png", png(0))
    with pytest.raises(UserError, match="no images in trainB, testA, testB"):
        load(tmp_path)


def test_another_process_may_prepare_the_same_set_at_the_same_time(
    data_dir, monkeypatch
):
    prepare = cycle_gan_tfds.CycleGAN.download_and_prepare

    def late(builder, **options):
        prepare(builder, **options)
        raise OSError("Directory not empty")  # what renaming the folder would raise

    monkeypatch.setattr(cycle_gan_tfds.CycleGAN, "download_and_prepare", late)
    check(load(data_dir))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The authors' server, on the loopback address; returns the folder it serves."""
    folder = tmp_path / "server"
    folder.mkdir()
    write_archive(folder / "facades.zip")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/facades.zip"
        monkeypatch.setitem(cycle_gan._DL_URLS, "facades", url)
        data = (folder / "facades.zip").read_bytes()
        info = UrlInfo(Size(len(data)), hashlib.sha256(data).hexdigest(), "facades.zip")
        monkeypatch.setattr(cycle_gan_tfds.CycleGAN, "url_infos", {url: info})
        yield folder
        running.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.usefixtures("server")
def test_downloaded_when_it_is_nowhere_else(tmp_path):
    check(load(tmp_path / "tfds"))


def test_a_download_with_the_wrong_checksum_is_refused(tmp_path, server):
    write_archive(server / "facades.zip", broken=True)
    with pytest.raises(
        UserError, match=r"wrong checksum[\s\S]*Put the authors' facades"
    ):
        load(tmp_path / "tfds")
    left = [p for p in (tmp_path / "tfds").rglob("*") if p.is_file()]
    assert [p.name for p in left if "metadata.json" not in p.name] == []
    assert not (tmp_path / "tfds" / "cycle_gan" / "facades" / "3.0.0").exists()


def test_a_server_without_the_file_and_no_server_at_all(tmp_path, server, monkeypatch):
    (server / "facades.zip").unlink()
    where = r"Put the authors' facades\.zip into .*downloads/manual.*config\.data\.path"
    with pytest.raises(UserError, match=rf"cannot be reached\. {where}"):
        load(tmp_path / "tfds")
    monkeypatch.setitem(cycle_gan._DL_URLS, "facades", "http://127.0.0.1:1/facades.zip")
    with pytest.raises(UserError, match=rf"cannot be reached\. {where}"):
        load(tmp_path / "tfds")
    assert not (tmp_path / "tfds").exists()


def test_tensorflow_is_never_imported(data_dir, tmp_path):
    trap = tmp_path / "trap" / "tensorflow"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    program = f"""
import sys
from cyclegan_jax.data import CachedSource, Preprocess, TrainBatches, load_dataset

dataset = load_dataset({NAME!r}, data_dir={str(data_dir)!r}, quiet=True)
crop = Preprocess("resize_and_crop", 10, 8)
a, b = (
    CachedSource(source, crop.load, cache_bytes=10**6, quiet=True)
    for source in (dataset.train_a, dataset.train_b)
)
batches = TrainBatches(a, b, crop, seed=0, batch_size=2)
print(next(batches.iterate(0))["a"].shape, "tensorflow" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(trap.parent)},
        check=False,
    )
    assert ended.stdout.splitlines()[-1:] == ["(2, 8, 8, 3) False"], ended.stderr
