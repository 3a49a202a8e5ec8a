"""Where splits are looked for: layouts, depths, and how systems write names."""

import os
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import load_dataset
from cyclegan_jax.errors import UserError

SPLITS = ("train_a", "train_b", "test_a", "test_b")
TESTS = SPLITS[2:]


def save(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((4, 6, 3), value, np.uint8)
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")


def make_set(root, folders):
    for value, folder in enumerate(folders):
        save(root / folder / "1.png", value)
    return root


def reds(dataset):
    sources = (getattr(dataset, split) for split in SPLITS)
    return [int(s[0][0, 0, 0]) if len(s) else None for s in sources]


@pytest.mark.parametrize(
    "folders",
    [
        ("trainA", "trainB", "testA", "testB"),
        ("train_A", "train_B", "val_A", "val_B"),
        ("TrainA", "TrainB", "ValA", "ValB"),
        ("train/A", "train/B", "validation/A", "validation/B"),
        ("A/train", "B/train", "A/val", "B/val"),
        ("training/a", "training/b", "testing/a", "testing/b"),
    ],
)
@pytest.mark.parametrize("below", ["", "horse2zebra", "my data/horse2zebra"])
@pytest.mark.parametrize("zipped", [False, True])
def test_layouts_at_any_depth(tmp_path, folders, below, zipped):
    root = make_set(tmp_path / "set" / below, folders)
    path = tmp_path / "set"
    if zipped:
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in root.rglob("*.png"):
                archive.write(file, file.relative_to(tmp_path))
    dataset = load_dataset("folder", path=path)
    assert reds(dataset) == [0, 1, 2, 3]
    assert dataset.train_a.names == (f"{folders[0]}/1.png",)
    assert dataset.left_out == {}


def test_the_folder_of_a_split_is_not_a_data_set(tmp_path):
    make_set(tmp_path, ("trainA", "trainB"))
    with pytest.raises(UserError, match="name the folder above it"):
        load_dataset("folder", path=tmp_path / "trainA")
    assert len(load_dataset("folder", path=tmp_path).train_a) == 1


def test_several_sets_are_named(tmp_path):
    for name in ("apples", "horses"):
        make_set(tmp_path / name, ("trainA", "trainB"))
    with pytest.raises(UserError, match=r"apples, horses.*data\.path=") as refused:
        load_dataset("folder", path=tmp_path)
    advice = str(refused.value).rpartition("config.data.path=")[2]
    assert reds(load_dataset("folder", path=advice)) == [0, 1, None, None]


def test_what_lies_beside_the_splits_is_told(tmp_path):
    make_set(tmp_path / "x", ("trainA", "trainB", "testA", "testB", "valA", "masks"))
    save(tmp_path / "x" / "cover.png")
    save(tmp_path / "other" / "1.png")
    assert load_dataset("folder", path=tmp_path).left_out == {
        "in no split": ["other/", "x/masks/", "x/valA/", "x/cover.png"]
    }
    assert load_dataset("folder", path=tmp_path, splits=TESTS).left_out == {
        "in no split": ["other/", "x/masks/", "x/valA/", "x/cover.png"]
    }


def test_side_by_side_below(tmp_path):
    make_set(tmp_path / "facades", ("train", "val"))
    dataset = load_dataset("side_by_side", path=tmp_path)
    assert reds(dataset) == [0, 0, 1, 1]
    assert dataset.train_a.content(0) == (tmp_path / "facades/train/1.png").read_bytes()


def test_only_what_is_needed_must_be_there(tmp_path):
    make_set(tmp_path / "one", ("testA",))
    dataset = load_dataset("folder", path=tmp_path / "one", splits=TESTS)
    assert reds(dataset) == [None, None, 0, None]
    pairs = make_set(tmp_path / "pairs", ("test",))
    dataset = load_dataset("side_by_side", path=pairs, splits=TESTS)
    assert reds(dataset) == [None, None, 0, 0]
    assert dataset.paired_test
    folders = {"test_b": str(tmp_path / "one" / "testA")}
    dataset = load_dataset("folder", folders=folders, splits=TESTS)
    assert reds(dataset) == [None, None, None, 0]
    labels = load_dataset("cityscapes", path=tmp_path / "one", splits=TESTS)
    assert labels.test_class_maps is None
    with pytest.raises(UserError, match=r"config\.data\.train_a"):
        load_dataset("folder", folders=folders)
    make_set(tmp_path / "none", ("trainA", "trainB"))
    with pytest.raises(UserError, match="no test images"):
        load_dataset("folder", path=tmp_path / "none", splits=TESTS)


def test_an_archive_that_windows_made(tmp_path):
    make_set(tmp_path / "set", ("trainA", "trainB"))
    data = b""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in (tmp_path / "set").rglob("*.png"):
            archive.write(file, f"set/{file.parent.name}/{file.name}")
    data = (tmp_path / "x.zip").read_bytes()
    for folder in (b"trainA", b"trainB"):
        data = data.replace(b"set/" + folder + b"/", b"set\\" + folder + b"\\")
    (tmp_path / "x.zip").write_bytes(data)
    dataset = load_dataset("folder", path=tmp_path / "x.zip")
    assert reds(dataset) == [0, 1, None, None]
    assert dataset.train_a.names == ("trainA/1.png",)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_every_kind(tmp_path, form, monkeypatch):
    """Accents in either spelling, spaces, long names, names that are not UTF-8."""
    root = tmp_path / unicodedata.normalize(form, "Äpfel und Birnen")
    make_set(root, ("trainA", "trainB"))
    save(root / "trainA" / ("x" * 251 + ".png"))
    save(root / "trainA" / os.fsdecode(b"\xff\xfe \xe9.png"), 7)
    asked = tmp_path / unicodedata.normalize("NFC", "Äpfel und Birnen")
    dataset = load_dataset("folder", path=asked, on_corrupt="skip", quiet=True)
    assert len(dataset.train_a) == 3
    assert sorted(int(i[0, 0, 0]) for i in dataset.train_a) == [0, 0, 7]
    (root / "trainA" / os.fsdecode(b"\xff\xfe \xe9.png")).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"trainA/.xff.xfe .xe9.png") as refused:
        list(load_dataset("folder", path=asked).train_a)
    str(refused.value).encode()
    monkeypatch.setenv("SETS", str(tmp_path))
    assert len(load_dataset("folder", path=f"$SETS/{asked.name}").train_a) == 3
    monkeypatch.setenv("HOME", str(root))
    folders = {"train_a": "~/trainA", "train_b": "$HOME/trainB"}
    assert reds(load_dataset("folder", folders=folders))[:2] == [0, 1]


def test_order_does_not_depend_on_how_accents_are_written(tmp_path):
    for form in ("NFC", "NFD"):
        for value, name in enumerate(("e.png", "é.png", "f.png", "z.png")):
            save(tmp_path / form / unicodedata.normalize(form, name), value)
    from cyclegan_jax.data.sources import folder_source

    one, other = (
        [int(image[0, 0, 0]) for image in folder_source(tmp_path / form)]
        for form in ("NFC", "NFD")
    )
    assert one == other
