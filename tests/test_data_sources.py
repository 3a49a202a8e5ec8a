"""Folders and archives: what is listed, in which order, and what is refused."""

import io
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import decode
from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.dataset import SPLITS
from cyclegan_jax.data.sources import MappedSource, SubsetSource, folder_source
from cyclegan_jax.data.splits import open_splits
from cyclegan_jax.data.trees import open_tree
from cyclegan_jax.errors import UserError

DECODERS = dict.fromkeys(SPLITS, decode.Decoder())


def open_set(path, splits=SPLITS):
    return open_splits(open_tree(path), DECODERS, splits).sources


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(value))


def make_set(root, folders=("trainA", "trainB", "testA", "testB")):
    for value, folder in enumerate(folders):
        for i in range(3):
            write(root / folder / f"{i}.png", 10 * value + i)
    return root


def zip_folder(root, path, prefix="", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in root.rglob("*"):
            archive.write(file, prefix + file.relative_to(root).as_posix())
    return path


def reds(source):
    return [int(source[i][0, 0, 0]) for i in range(len(source))]


def test_listing_is_recursive_sorted_and_ignores_what_is_no_image(tmp_path):
    folder = tmp_path / "trainA"
    wanted = [
        "10.JPG",
        "2.jpeg",
        "a/1.Png",
        "a/b/1.webp",
        "b.bmp",
        "c.TIF",
        "d.tiff",
        "e.ppm",
    ]
    for name in [*wanted, ".hidden.png", "._2.jpeg", "__MACOSX/2.png", ".git/3.png"]:
        write(folder / name)
    (folder / "notes.txt").write_text("no image")
    assert list(folder_source(folder).names) == [f"trainA/{name}" for name in wanted]
    relative = folder_source(folder / "a", root=tmp_path)
    assert list(relative.names) == ["trainA/a/1.Png", "trainA/a/b/1.webp"]


def test_a_run_among_the_images_is_not_data(tmp_path):
    """Its samples would be new images whenever it resumes."""
    for name in ("1.png", "run/samples/step_1.png", "more/config.json", "more/2.png"):
        write(tmp_path / "set" / name)
    for name in ("config.json", "run.json"):
        (tmp_path / "set" / "run" / name).write_text("{}")
    source = folder_source(tmp_path / "set")
    assert source.names == ("set/1.png", "set/more/2.png")
    assert source.left_out == {
        "folder of a training run": ["set/run/"],
        "no picture": ["set/more/config.json"],
    }


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "set").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "link")
    os.symlink(tmp_path / "set", tmp_path / "set" / "loop")
    assert list(folder_source(tmp_path / "set").names) == ["set/link/1.png"]


def test_images_belong_to_their_names(tmp_path):
    for name, value in (("b", 2), ("a", 1), ("c", 3)):
        write(tmp_path / "x" / f"{name}.png", value)
    source = folder_source(tmp_path / "x")
    assert source.names == ("x/a.png", "x/b.png", "x/c.png")
    assert reds(source) == [1, 2, 3]
    assert source[0].shape == (3, 4, 3)
    assert folder_source(tmp_path / "x", decoder=decode.Decoder(1))[0].shape == (
        3,
        4,
        1,
    )


@pytest.mark.parametrize(
    "folders",
    [
        ("trainA", "trainB", "testA", "testB"),
        ("train/A", "train/B", "test/A", "test/B"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "horse2zebra/"])
def test_folder_and_archive_give_the_same(tmp_path, folders, prefix):
    root = make_set(tmp_path / "set", folders)
    archive = zip_folder(root, tmp_path / "set.zip", prefix)
    from_folder, from_zip = open_set(root), open_set(archive)
    assert list(from_folder) == list(from_zip) == list(SPLITS)
    for value, (split, folder) in enumerate(zip(SPLITS, folders, strict=True)):
        names = tuple(f"{folder}/{i}.png" for i in range(3))
        assert from_folder[split].names == from_zip[split].names == names
        expected = [10 * value, 10 * value + 1, 10 * value + 2]
        assert reds(from_folder[split]) == reds(from_zip[split]) == expected


def test_tests_may_be_missing_and_what_is_not_needed(tmp_path):
    root = make_set(tmp_path, ("trainA", "trainB"))
    assert list(open_set(root)) == ["train_a", "train_b"]
    write(root / "testA" / "1.png")
    assert list(open_set(root)) == ["train_a", "train_b", "test_a"]
    shutil.rmtree(root / "trainB")
    with pytest.raises(UserError, match="no images in trainB or train/B"):
        open_set(root)
    tests = ("test_a", "test_b")
    assert list(open_set(root, tests)) == ["test_a"]
    shutil.rmtree(root / "testA")
    assert open_set(root, ("train_a",))["train_a"].names[0] == "trainA/0.png"
    with pytest.raises(UserError, match="no images in testA or test/A, testB"):
        open_set(tmp_path / "trainA", tests)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        folder_source(tmp_path / "nowhere")
    (tmp_path / "trainA").mkdir()
    with pytest.raises(UserError, match=r"trainA holds no image .*JPEG, PNG"):
        folder_source(tmp_path / "trainA")
    with pytest.raises(UserError, match=r"trainB or train/B .* folders are: trainA"):
        open_set(tmp_path)
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    with pytest.raises(
        UserError, match=r"empty\.zip has no images in trainA or train/A"
    ):
        open_set(empty)


def test_archives_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b not a zip")
    with pytest.raises(UserError, match=r"x\.tar\.gz is not .*unpack it"):
        open_set(tmp_path / "x.tar.gz")
    with pytest.raises(UserError, match=r"gone\.zip is not .*again"):
        Archive(tmp_path / "gone.zip")


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a\\..\\evil.png"])
def test_unsafe_paths_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, png(0))
    with pytest.raises(UserError, match=r"unsafe path, .*evil\.png"):
        Archive(tmp_path / "x.zip")


def test_entries_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    path = zip_folder(make_set(tmp_path / "set"), tmp_path / "x.zip")
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    with pytest.raises(
        UserError, match=r"entry test\w/\d\.png of .* unpacks to \d+ bytes"
    ):
        Archive(path)


def test_hidden_entries_are_ignored(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("x/a/1.png", "__MACOSX/x/a/._1.png", "x/a/.DS.png", "x/read.txt"):
            archive.writestr(name, png(0))
    assert Archive(tmp_path / "x.zip").names == ("a/1.png",)


def test_a_damaged_entry_is_named(tmp_path):
    root = make_set(tmp_path / "set")
    path = zip_folder(root, tmp_path / "x.zip", compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = data.index(png(1)) + 20  # of trainA/1.png
    data[at] ^= 255
    path.write_bytes(data)
    source = open_set(path)["train_a"]
    assert source[0].shape == (3, 4, 3)
    with pytest.raises(
        decode.UnreadableImage, match=r"entry trainA/1\.png of .*x\.zip"
    ):
        source[1]


def test_an_encrypted_entry_is_named(tmp_path):
    path = zip_folder(make_set(tmp_path / "set"), tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(decode.UnreadableImage, match="encrypted"):
        open_set(path)["train_a"][0]


def test_an_archive_may_be_read_from_many_threads(tmp_path):
    root = tmp_path / "set"
    rng = np.random.default_rng(0)
    for split in ("trainA", "trainB"):
        for i in range(40):
            (root / split).mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (30, 30, 3), np.uint8)
            Image.fromarray(noise).save(root / split / f"{i}.png")
    source = open_set(zip_folder(root, tmp_path / "x.zip"))["train_a"]
    expected = open_set(root)["train_a"]
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(source.__getitem__, list(range(40)) * 5))
    for i, image in enumerate(images):
        np.testing.assert_array_equal(image, expected[i % 40])


def test_subset_and_mapped_sources(tmp_path):
    source = open_set(make_set(tmp_path))["train_b"]
    subset = SubsetSource(source, [2, 0])
    assert subset.names == ("trainB/2.png", "trainB/0.png")
    assert (len(subset), reds(subset)) == (2, [12, 10])
    doubled = MappedSource(source, lambda image: 2 * image)
    assert (len(doubled), reds(doubled)) == (3, [20, 22, 24])
    assert doubled.names == source.names
