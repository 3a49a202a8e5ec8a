import json

import numpy as np
import pytest

from cyclegan_jax.data import palettes
from cyclegan_jax.data.palettes import CITYSCAPES, Palette
from cyclegan_jax.errors import UserError


def test_cityscapes_has_the_official_classes():
    assert len(CITYSCAPES.names) == 19
    assert CITYSCAPES.array.shape == (19, 3)
    assert CITYSCAPES.array.dtype == np.uint8
    # From cityscapesScripts' labels.py: (trainId, name, colour).
    for index, name, colour in (
        (0, "road", (128, 64, 128)),
        (8, "vegetation", (107, 142, 35)),
        (10, "sky", (70, 130, 180)),
        (13, "car", (0, 0, 142)),
        (18, "bicycle", (119, 11, 32)),
    ):
        assert CITYSCAPES.names[index] == name
        assert CITYSCAPES.colours[index] == colour


def test_nearest_inverts_paint():
    class_map = np.random.default_rng(0).integers(0, 19, (3, 8, 9), np.uint8)
    painted = CITYSCAPES.paint(class_map)
    assert painted.shape == (3, 8, 9, 3)
    assert painted.dtype == np.uint8
    assert painted[1, 2, 3].tolist() == list(CITYSCAPES.colours[class_map[1, 2, 3]])
    np.testing.assert_array_equal(CITYSCAPES.nearest(painted), class_map)


def test_nearest_agrees_with_brute_force(monkeypatch):
    monkeypatch.setattr(palettes, "_CHUNK_PIXELS", 50)  # 2 * 7 * 11 needs four.
    images = np.random.default_rng(1).integers(0, 256, (2, 7, 11, 3), np.uint8)
    difference = images[..., None, :].astype(int) - CITYSCAPES.array.astype(int)
    expected = (difference**2).sum(-1).argmin(-1)
    found = CITYSCAPES.nearest(images)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_colours_that_are_too_far_belong_to_no_class():
    palette = Palette(("left", "right"), ((0, 0, 0), (0, 0, 200)))
    image = np.array([[[0, 30, 40], [0, 30, 41], [9, 0, 199]]], np.uint8)
    assert palette.nearest(image, within=50).tolist() == [[0, palettes.VOID, 1]]
    assert palette.nearest(image).tolist() == [[0, 0, 1]]


def test_nearest_breaks_ties_towards_the_first_class():
    palette = Palette(("left", "right"), ((0, 0, 0), (0, 0, 200)))
    image = np.array([[[9, 9, 99], [9, 9, 100], [9, 9, 101]]], np.uint8)
    assert palette.nearest(image).tolist() == [[0, 0, 1]]


def test_many_large_images_are_matched_in_bounded_memory():
    import tracemalloc

    images = np.zeros((40, 256, 256, 3), np.uint8)
    tracemalloc.start()
    CITYSCAPES.nearest(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All scores at once would take 40 * 256 * 256 * 19 * 4 bytes = 199 MB.
    assert peak < 64e6


@pytest.mark.parametrize(
    "images", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_nearest_refuses_other_images(images):
    with pytest.raises(UserError, match="uint8 images with 3 channels"):
        CITYSCAPES.nearest(images)


def test_paint_refuses_an_unknown_index():
    with pytest.raises(UserError, match=r"index 255, .* 0 to 18"):
        CITYSCAPES.paint(np.array([[0, 255]], np.uint8))
    with pytest.raises(UserError, match="index -1"):
        CITYSCAPES.paint(np.array([[0, -1]], np.int32))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "# classes\nroad 128 64 128\n\n  traffic light  250 170 30\n"),
        (
            "p.json",
            json.dumps({"road": [128, 64, 128], "traffic light": [250, 170, 30]}),
        ),
    ],
)
def test_from_file_reads_names_and_colours_in_order(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    expected = Palette(("road", "traffic light"), ((128, 64, 128), (250, 170, 30)))
    assert Palette.from_file(tmp_path / name) == expected
    assert Palette.from_file(str(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.txt", "", "1 to 255 classes"),
        ("p.txt", "road 128 64 128\nsky blue\n", "line 2 is 'sky blue'"),
        ("p.txt", "128 64 128\n", "line 1"),
        ("p.txt", "road 128 64 256\n", "'road' has the colour"),
        ("p.txt", "road 1 2 3\nroad 4 5 6\n", "name road appears twice"),
        ("p.txt", "road 1 2 3\nsky 1 2 3\n", "colour .* appears twice"),
        ("p.json", "{", "not valid JSON"),
        ("p.json", "[1, 2]", "one object"),
        ("p.json", '{"road": 3}', "list of three numbers"),
        ("p.json", '{"road": [1, 2]}', "three whole numbers"),
        ("p.json", '{"road": [1, 2, 0.5]}', "three whole numbers"),
        ("p.json", '{"road": [1, 2, true]}', "three whole numbers"),
        ("p.json", '{"road": [1, 2, 3], "road": [4, 5, 6]}', "road appears twice"),
    ],
)
def test_from_file_names_the_mistake_and_the_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        Palette.from_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_from_file_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(UserError, match="cannot read the palette file"):
        Palette.from_file(tmp_path / "missing.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot read the palette file"):
        Palette.from_file(tmp_path / "binary.txt")
