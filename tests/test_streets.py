import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from cyclegan_jax.data.palettes import CITYSCAPES
from cyclegan_jax.data.streets import StreetsSource
from cyclegan_jax.data.streets.looks import SUMMER
from cyclegan_jax.data.streets.sketch import Camera, Light, Sketch
from cyclegan_jax.errors import UserError


def _class_maps(split, count, size, seed=0, look="summer"):
    return np.stack(list(StreetsSource("class_map", split, count, size, seed, look)))


def _share(class_maps, name):
    return (class_maps == CITYSCAPES.names.index(name)).mean()


@pytest.mark.parametrize("size", [32, 45, 64])
def test_images_have_the_promised_shapes(size):
    for kind, shape in (
        ("photo", (size, size, 3)),
        ("label", (size, size, 3)),
        ("class_map", (size, size)),
    ):
        image = StreetsSource(kind, "test", 1, size)[0]
        assert image.shape == shape
        assert image.dtype == np.uint8


@pytest.mark.parametrize("split", ["train_a", "train_b", "test"])
def test_labels_are_the_painted_class_map(split):
    labels = StreetsSource("label", split, 3, 64)
    for label, classes in zip(labels, _class_maps(split, 3, 64), strict=True):
        np.testing.assert_array_equal(label, CITYSCAPES.array[classes])


def test_a_scene_depends_on_seed_split_and_index_alone():
    one, many = (StreetsSource("photo", "test", n, 32, seed=5) for n in (3, 9))
    backwards = [many[i] for i in (2, 1, 0)][::-1]
    np.testing.assert_array_equal(list(one), backwards)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one))[1], one[1])


def test_another_process_makes_the_same_image():
    program = (
        "import sys, hashlib; from cyclegan_jax.data.streets import StreetsSource;"
        "image = StreetsSource('photo', 'train_a', 8, 40, seed=3)[7];"
        "print(hashlib.sha256(image.tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    image = StreetsSource("photo", "train_a", 8, 40, seed=3)[7]
    assert other == hashlib.sha256(image.tobytes()).hexdigest()


def test_splits_seeds_and_indices_are_different_scenes():
    scenes = [
        maps.tobytes()
        for seed in (0, 1)
        for split in ("train_a", "train_b", "test")
        for maps in _class_maps(split, 4, 32, seed)
    ]
    assert len(set(scenes)) == 2 * 3 * 4


def test_the_layout_does_not_depend_on_the_size():
    small, large = _class_maps("test", 6, 64), _class_maps("test", 6, 256)
    # A pixel of the small map covers 4 x 4 of the large: its centre lies between
    # the middle four, any of which is within half a pixel of it.
    agreement = (small == large[:, 2::4, 2::4]).mean((1, 2))
    assert agreement.min() > 0.95, agreement


def test_photos_at_two_sizes_show_the_same_thing():
    small = StreetsSource("photo", "test", 4, 64)
    large = StreetsSource("photo", "test", 4, 128)
    for one, two in zip(small, large, strict=True):
        shrunk = two.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(shrunk - one).mean() < 10


def test_photo_and_class_map_are_aligned():
    """Edges of the photograph lie on the borders of the classes, unshifted."""
    photos = np.stack(list(StreetsSource("photo", "test", 12, 128))).mean(-1)
    maps = _class_maps("test", 12, 128)
    steps = np.abs(np.diff(photos, axis=1))
    borders = maps[:, 1:] != maps[:, :-1]
    contrast = [
        (steps * np.roll(borders, shift, axis=1)).sum() / borders.sum()
        for shift in (-2, -1, 0, 1, 2)
    ]
    assert np.argmax(contrast) == 2, contrast


def test_class_frequencies_are_those_of_a_street():
    maps = _class_maps("train_b", 120, 64)
    assert 0.30 < _share(maps, "road") < 0.46
    assert 0.24 < _share(maps, "sky") < 0.42
    assert 0.08 < _share(maps, "building") < 0.18
    assert 0.04 < _share(maps, "vegetation") < 0.12
    for name in ("sidewalk", "car"):
        assert 0.02 < _share(maps, name) < 0.08, name
    for name in ("person", "pole"):
        assert 0.002 < _share(maps, name) < 0.03, name
    # Both domains are drawn from one distribution.
    others = _class_maps("train_a", 120, 64)
    for name in CITYSCAPES.names:
        assert abs(_share(maps, name) - _share(others, name)) < 0.03, name


def test_photographs_vary_in_colour_and_have_texture():
    photos = np.stack(list(StreetsSource("photo", "train_a", 30, 64))).astype(float)
    maps = _class_maps("train_a", 30, 64)
    green, red = photos[..., 1], photos[..., 0]
    leaves = maps == CITYSCAPES.names.index("vegetation")
    walls = maps == CITYSCAPES.names.index("building")
    # Colour tells trees from houses: that is what makes the task solvable unpaired.
    assert (green > red + 10)[leaves].mean() > 0.8
    assert (green > red + 10)[walls].mean() < 0.1
    for mask in (leaves, walls):
        assert photos.mean(-1)[mask].std() > 15
    assert photos.mean((1, 2)).std(0).min() > 5  # Hours differ.


def test_in_autumn_colours_are_not_those_of_the_palette():
    """Or untranslated labels would pass for photographs."""

    def labels_read_as_photographs(look):
        photos = np.stack(list(StreetsSource("photo", "train_a", 40, 64, look=look)))
        maps = _class_maps("train_a", 40, 64, look=look)
        classes = [c for c in np.unique(maps) if (maps == c).mean() > 0.002]
        means = np.array([photos[maps == c].mean(0) for c in classes])
        right = 0.0
        for index in classes:
            distances = np.linalg.norm(means - CITYSCAPES.array[index], axis=1)
            right += (maps == index).mean() * (classes[distances.argmin()] == index)
        return right

    assert labels_read_as_photographs("autumn") < 0.2
    assert labels_read_as_photographs("summer") > 0.5


def test_streets_of_autumn_differ_more():
    def by_chance(look):
        maps = _class_maps("test", 60, 64, look=look)
        return (maps == np.roll(maps, 1, axis=0)).mean()

    assert by_chance("autumn") < 0.5 < 0.65 < by_chance("summer")


def test_indices_behave_like_a_sequence():
    source = StreetsSource("class_map", "test", 3, 32)
    assert len(source) == len(source.names) == 3
    np.testing.assert_array_equal(source[-1], source[np.int64(2)])
    for index in (3, -4):
        with pytest.raises(IndexError):
            source[index]


def test_names_are_unique_and_tell_kind_and_split():
    photos = StreetsSource("photo", "train_a", 13, 32)
    assert photos.names[12] == "train_a_photo_00012.png"
    labels = StreetsSource("label", "train_b", 13, 32)
    assert len({*photos.names, *labels.names}) == 26
    assert repr(photos) == "StreetsSource('photo', 'train_a', 13, 32, seed=0)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photo", "test", 1, 31), "32 to 512 pixels, not 31"),
        (("photo", "test", 1, 513), "32 to 512 pixels, not 513"),
        (("photo", "test", 0, 64), "at least 1 image, not 0"),
        (("photo", "test", 1, 64, -1), "must not be negative"),
        (("photos", "test", 1, 64), "no kind 'photos'; choose from photo, label"),
        (("photo", "val", 1, 64), "no split 'val'; choose from train_a"),
        (("photo", "test", 1, 64, 0, "winter"), "no look 'winter'; choose from summer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        StreetsSource(*arguments)


def test_the_camera_projects_like_a_pinhole():
    camera = Camera(x=1.0, height=2.0, focal=0.8, centre=0.4, horizon=0.45)
    # A ground point 3 m to the right and 10 m ahead.
    u, v = camera.project((4.0, 0.0, 10.0))
    np.testing.assert_allclose((u, v), (0.4 + 0.8 * 3 / 10, 0.45 + 0.8 * 2 / 10))
    assert camera.project((1.0, 2.0, 1e9)) == pytest.approx((0.4, 0.45))


def test_distance_fades_colours_into_the_haze():
    light = Light((0, 0, 255), (200, 200, 200), (1, 1, 1), 0.5, 1, 1.0)
    sketch = Sketch(SUMMER, Camera(0, 2, 1, 0.5, 0.5), light)
    for z in (2.0, 100.0, 1e5):
        sketch.box(z, (0, 1), (0, 1), (100, 0, 0))
    reds = [shape.colour[0] for shape in sketch.shapes]
    assert 100 <= reds[0] < 102 < reds[1] < reds[2]
    assert sketch.shapes[2].colour == (200, 200, 200)
