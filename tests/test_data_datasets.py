"""Data sets by name: where images are taken from, and what is known of them."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import load_dataset
from cyclegan_jax.data.palettes import CITYSCAPES
from cyclegan_jax.data.streets import StreetsSource
from cyclegan_jax.errors import UserError

SPLITS = ("train_a", "train_b", "test_a", "test_b")
FOLDERS = ("trainA", "trainB", "testA", "testB")


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def make_set(root, counts=(3, 4, 2, 2), name="{i}{letter}.png", folders=FOLDERS):
    for value, (folder, count) in enumerate(zip(folders, counts, strict=True)):
        for i in range(count):
            letter = f"_{folder[-1]}"
            file = root / folder / name.format(i=i, letter=letter)
            save(file, np.full((4, 6, 3), 10 * value + i))
    return root


def sizes(dataset):
    return tuple(len(getattr(dataset, split)) for split in SPLITS)


def values(source):
    return [int(source[i][0, 0, 0]) for i in range(len(source))]


def test_a_folder_of_your_own(tmp_path):
    dataset = load_dataset("folder", path=make_set(tmp_path))
    assert sizes(dataset) == (3, 4, 2, 2)
    assert dataset.train_b.names[3] == "trainB/3_B.png"
    assert values(dataset.test_b) == [30, 31]
    assert dataset.palette is dataset.test_class_maps is None
    # Equal names prove nothing about a folder that nobody knows.
    assert not dataset.paired_train
    assert not dataset.paired_test


def test_an_archive_of_your_own(tmp_path):
    make_set(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in (tmp_path / "set").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path))
    dataset = load_dataset("folder", path=str(tmp_path / "x.zip"))
    assert sizes(dataset) == (3, 4, 2, 2)
    assert values(dataset.test_b) == [30, 31]


def test_two_or_four_arbitrary_folders(tmp_path):
    folders = ("photos", "monet", "more/photos", "more/monet")
    make_set(tmp_path, folders=folders)
    given = {s: str(tmp_path / f) for s, f in zip(SPLITS, folders, strict=True)}
    four = load_dataset("folder", folders=given)
    assert sizes(four) == (3, 4, 2, 2)
    assert four.train_b.names[0] == "monet/0_t.png"
    two = load_dataset("folder", folders={**given, "test_a": "", "test_b": ""})
    assert sizes(two) == (3, 4, 0, 0)
    assert list(two.test_a.names) == []
    one_way = load_dataset("folder", folders={**given, "test_b": ""})
    assert sizes(one_way) == (3, 4, 2, 0)
    with pytest.raises(UserError, match=r"config\.data\.train_b is not given"):
        load_dataset("folder", folders={**given, "train_b": ""})
    with pytest.raises(UserError, match="there is no split 'trainC'"):
        load_dataset("folder", folders={**given, "trainC": "x"})


def test_folders_that_are_not_given_do_not_count(tmp_path):
    none = dict.fromkeys(SPLITS, "")
    assert sizes(load_dataset("folder", path=make_set(tmp_path), folders=none))[0] == 3


def test_channels_are_asked_for_by_domain(tmp_path):
    dataset = load_dataset(
        "folder", path=make_set(tmp_path), channels_a=1, channels_b=4
    )
    assert dataset.train_a[0].shape == dataset.test_a[0].shape == (4, 6, 1)
    assert dataset.train_b[0].shape == dataset.test_b[0].shape == (4, 6, 4)
    with pytest.raises(UserError, match="1, 3 or 4 channels, not 2"):
        load_dataset("folder", path=tmp_path, channels_a=2)


def test_max_images_takes_the_first_of_each_split(tmp_path):
    dataset = load_dataset("folder", path=make_set(tmp_path), max_images=3)
    assert sizes(dataset) == (3, 3, 2, 2)
    assert values(dataset.train_b) == [10, 11, 12]
    with pytest.raises(UserError, match="max_images is -1"):
        load_dataset("folder", path=tmp_path, max_images=-1)


def test_pairs_by_the_names_that_cityscapes_gives(tmp_path):
    """Training pairs, too: of pix2pix, and of the network that scores photographs."""
    endings = {"A": "_leftImg8bit", "B": "_gtFine_color"}
    for folder in FOLDERS:
        for i in range(2):
            file = tmp_path / folder / f"aachen_{i}{endings[folder[-1]]}.png"
            save(file, np.full((4, 6, 3), [128, 64, 128]))
    dataset = load_dataset("cityscapes", path=tmp_path, paired=True)
    assert dataset.paired_train
    assert dataset.train_class_maps[1].max() == 0  # Road.


def test_cityscapes_has_pairs_and_class_maps(tmp_path):
    make_set(tmp_path, (2, 2, 3, 3), "{i}.png")
    rng = np.random.default_rng(0)
    classes = rng.integers(0, len(CITYSCAPES.names), (3, 5, 7))
    for i in range(3):
        colours = np.array(CITYSCAPES.colours)[classes[i]]
        save(tmp_path / "testB" / f"{i}.png", colours)
    for channels in (3, 1):
        dataset = load_dataset("cityscapes", path=tmp_path, channels_b=channels)
        assert dataset.paired_train
        assert dataset.paired_test
        assert dataset.palette is CITYSCAPES
        assert dataset.test_b[0].shape == (5, 7, channels)
        for i in range(3):
            np.testing.assert_array_equal(dataset.test_class_maps[i], classes[i])
    assert (
        len(load_dataset("cityscapes", path=tmp_path, max_images=2).test_class_maps)
        == 2
    )
    # By their names, not by their places: 0, 1, 2 and 0, 2, 3.
    (tmp_path / "testB" / "1.png").rename(tmp_path / "testB" / "3.png")
    dataset = load_dataset("cityscapes", path=tmp_path)
    assert dataset.test_a.names == ("testA/0.png", "testA/2.png")
    assert dataset.test_b.names == ("testB/0.png", "testB/2.png")
    np.testing.assert_array_equal(dataset.test_class_maps[1], classes[2])
    assert dataset.left_out == {"without a partner": ["testA/1.png", "testB/3.png"]}


def test_any_set_can_have_a_palette(tmp_path):
    make_set(tmp_path, (2, 2, 2, 2), "{i}.png")
    (tmp_path / "classes.txt").write_text("sea 0 0 200\nland 0 200 0\n")
    colours = np.zeros((5, 7, 3), int)
    colours[:, :3], colours[:, 3:6] = (10, 0, 205), (0, 200, 0)
    colours[:, 6] = (200, 200, 200)
    for split in ("trainB", "testB"):
        for i in range(2):
            save(tmp_path / split / f"{i}.png", np.roll(colours, i, axis=1))
    options = {"path": tmp_path, "palette": tmp_path / "classes.txt"}
    dataset = load_dataset("folder", **options)
    assert dataset.palette.names == ("sea", "land")
    assert dataset.paired_test
    row = [0, 0, 0, 1, 1, 1, 255]
    np.testing.assert_array_equal(dataset.test_class_maps[0], [row] * 5)
    rolled = np.roll([row] * 5, 1, axis=1)
    np.testing.assert_array_equal(dataset.train_class_maps[1], rolled)
    one = load_dataset("folder", max_images=1, **options)
    assert len(one.train_class_maps) == len(one.test_class_maps) == 1
    for i in range(2):
        (tmp_path / "testB" / f"{i}.png").rename(tmp_path / "testB" / f"{5 + i}.png")
    with pytest.raises(UserError, match=r"config\.data\.pairs=order"):
        load_dataset("folder", **options)
    assert load_dataset("folder", pairs="order", **options).paired_test
    with pytest.raises(UserError, match="streets has its own classes"):
        load_dataset("streets", palette="x")


def test_streets_is_made_and_paired_in_its_tests():
    dataset = load_dataset(
        "streets",
        streets_size=32,
        streets_train_count=5,
        streets_test_count=2,
        streets_seed=7,
        channels_a=1,
    )
    assert sizes(dataset) == (5, 5, 2, 2)
    assert dataset.paired_test
    assert not dataset.paired_train
    assert dataset.train_a[0].shape == (32, 32, 1)
    assert dataset.train_b[0].shape == (32, 32, 3)
    painted = CITYSCAPES.paint(dataset.test_class_maps[1])
    np.testing.assert_array_equal(dataset.test_b[1], painted)


def test_streets_draws_pairs_to_train_on():
    made = {"streets_size": 32, "streets_train_count": 3, "streets_test_count": 1}
    apart, pairs = (load_dataset("streets", paired=p, **made) for p in (False, True))
    assert not apart.paired_train
    assert pairs.paired_train
    np.testing.assert_array_equal(apart.train_a[2], pairs.train_a[2])
    assert np.any(apart.train_b[2] != pairs.train_b[2])
    classes = StreetsSource("class_map", "train_a", 3, 32)[2]
    np.testing.assert_array_equal(pairs.train_b[2], CITYSCAPES.paint(classes))


def test_pairs_in_two_folders(tmp_path):
    make_set(tmp_path, (3, 3, 2, 2), "{i}.png")
    dataset = load_dataset("folder", path=tmp_path, paired=True)
    assert dataset.paired_train
    assert dataset.paired_test
    for i in range(2):
        (tmp_path / "testB" / f"{i}.png").rename(tmp_path / "testB" / f"x{i}.png")
    dataset = load_dataset("folder", path=tmp_path, paired=True)
    assert not dataset.paired_test
    assert "not named in pairs" in dataset.notes[0]
    (tmp_path / "trainB" / "1.png").rename(tmp_path / "trainB" / "7.png")
    dataset = load_dataset("folder", path=tmp_path, paired=True)
    assert values(dataset.train_a) == [0, 2]
    assert values(dataset.train_b) == [10, 12]
    assert dataset.left_out == {"without a partner": ["trainA/1.png", "trainB/7.png"]}
    (tmp_path / "trainB" / "2.png").rename(tmp_path / "trainB" / "8.png")
    with pytest.raises(UserError, match="do not say which images of A and B are pairs"):
        load_dataset("folder", path=tmp_path, paired=True)
    ordered = load_dataset("folder", path=tmp_path, paired=True, pairs="order")
    assert values(ordered.train_b) == [10, 11, 12]
    (tmp_path / "trainB" / "8.png").unlink()
    with pytest.raises(UserError, match=r"data\.pairs is order, .* 3 .* and 2"):
        load_dataset("folder", path=tmp_path, paired=True, pairs="order")
    assert not load_dataset("folder", path=tmp_path).paired_train


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("tests", ["test", "val"])
def test_pairs_side_by_side(tmp_path, zipped, tests):
    rng = np.random.default_rng(0)
    for folder, count in (("train", 3), (tests, 2)):
        for i in range(count):
            pixels = rng.integers(0, 256, (4, 10, 3))
            save(tmp_path / "facades" / folder / f"{i}.png", pixels)
    path = tmp_path / "facades"
    if zipped:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "facades").rglob("*.png"):
                archive.write(file, file.relative_to(tmp_path))
    for paired in (True, False):
        dataset = load_dataset("side_by_side", path=path, paired=paired, channels_b=1)
        assert sizes(dataset) == (3, 3, 2, 2)
        assert dataset.paired_train
        assert dataset.paired_test
    whole = np.asarray(Image.open(tmp_path / "facades/train/1.png"))
    np.testing.assert_array_equal(dataset.train_a[1], whole[:, :5])
    assert dataset.train_b[1].shape == (4, 5, 1)
    assert dataset.train_b.names[1] == "train/1.png"


def test_side_by_side_needs_even_widths_and_train(tmp_path):
    save(tmp_path / "train" / "0.png", np.zeros((4, 9, 3)))
    dataset = load_dataset("side_by_side", path=tmp_path)
    assert sizes(dataset) == (1, 1, 0, 0)
    assert not dataset.paired_test
    with pytest.raises(UserError, match=r"train/0\.png is 9 pixels wide"):
        dataset.train_a[0]
    (tmp_path / "train" / "0.png").unlink()
    (tmp_path / "train").rmdir()
    with pytest.raises(UserError, match="has no images in train"):
        load_dataset("side_by_side", path=tmp_path)


def test_pairs_that_are_none(tmp_path):
    make_set(tmp_path, name="{i}.png")
    with pytest.raises(UserError, match="horse2zebra has no pairs to train on"):
        load_dataset("cycle_gan/horse2zebra", path=tmp_path, paired=True)


@pytest.mark.parametrize(
    ("config", "name", "paired"),
    [
        ("maps", "{i}{letter}.png", True),
        ("facades", "{i}.png", True),
        ("horse2zebra", "{i}.png", False),
    ],
)
def test_cycle_gan_from_a_folder_knows_its_pairs(tmp_path, config, name, paired):
    make_set(tmp_path, (3, 4, 12, 12), name)
    dataset = load_dataset(f"cycle_gan/{config}", path=tmp_path)
    assert sizes(dataset) == (3, 4, 12, 12)
    assert dataset.paired_test is paired
    assert not dataset.paired_train  # 3 and 4 images


def test_corrupt_images_stop_or_are_left_out_with_their_pairs(tmp_path, capsys):
    make_set(tmp_path, (4, 5, 4, 4), "{i}.png")
    for broken in ("trainA/2.png", "testA/1.png", "testB/3.png"):
        (tmp_path / broken).write_bytes(b"broken")
    dataset = load_dataset("cycle_gan/facades", path=tmp_path)
    assert sizes(dataset) == (4, 5, 4, 4)
    with pytest.raises(UserError, match=r"trainA/2\.png in .*cannot be decoded"):
        dataset.train_a[2]
    skipped = load_dataset(
        "cycle_gan/facades", path=tmp_path, on_corrupt="skip", quiet=True
    )
    assert values(skipped.train_a) == [0, 1, 3]
    assert values(skipped.train_b) == [10, 11, 12, 13, 14]
    assert values(skipped.test_a) == [20, 22]
    assert values(skipped.test_b) == [30, 32]
    warned = [x for x in capsys.readouterr().err.splitlines() if "left out" in x]
    assert len(warned) == 3
    assert "left out: image trainA/2.png" in warned[0]
    assert skipped.left_out == {
        "that cannot be decoded, or whose partner cannot": [
            *("trainA/2.png", "testA/1.png", "testA/3.png"),
            *("testB/1.png", "testB/3.png"),
        ]
    }
    with pytest.raises(UserError, match="on_corrupt is 'ignore'"):
        load_dataset("folder", path=tmp_path, on_corrupt="ignore")


def test_a_class_map_goes_with_its_corrupt_pair(tmp_path):
    make_set(tmp_path, (1, 1, 3, 3), "{i}.png")
    (tmp_path / "testA" / "0.png").write_bytes(b"broken")
    dataset = load_dataset("cityscapes", path=tmp_path, on_corrupt="skip", quiet=True)
    assert dataset.test_class_maps.names == ("testB/1.png", "testB/2.png")


def test_nothing_left_is_an_error(tmp_path):
    make_set(tmp_path, (1, 1, 1, 1))
    (tmp_path / "trainA" / "0_A.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="not one image of train_a can be decoded"):
        load_dataset("folder", path=tmp_path, on_corrupt="skip", quiet=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "horse2zebra"}, "no data set 'horse2zebra'.*cycle_gan/horse2zebra"),
        ({"name": "folder"}, "folder needs config.data.path"),
        ({"name": "cityscapes"}, "cityscapes needs config.data.path"),
        ({"name": "side_by_side"}, "or zip archive with train and test"),
        ({"name": "side_by_side", "path": "/nowhere/x"}, "there is no /nowhere/x"),
        ({"name": "folder", "path": "/nowhere/x"}, "there is no /nowhere/x"),
        ({"name": "streets", "path": "x"}, "config.data.path is x"),
        ({"name": "cycle_gan/horse"}, "no cycle_gan/horse, only: apple2orange"),
        ({"name": "cycle_gan/cityscapes"}, "config.data.dataset=cityscapes"),
        ({"name": "streets", "folders": {"train_a": "x"}}, "train_a, train_b"),
        ({"name": "folder", "path": "x", "folders": {"train_a": "x"}}, "without"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(UserError, match=message):
        load_dataset(**arguments)
