"""Preprocessing, against the published transforms written out with plain Pillow."""

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data.preprocess import Preprocess, resize, test_transform
from cyclegan_jax.errors import UserError

MODES = ["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(
        0, 256, (height, width, channels), np.uint8
    )


def published_load(image, mode, load_size, crop_size):
    """`get_transform` of the published code, up to the random crop and flip."""
    picture = Image.fromarray(image)
    ow, oh = picture.size
    if "resize" in mode:
        picture = picture.resize((load_size, load_size), Image.BICUBIC)
    elif "scale_width" in mode and not (ow == load_size and oh >= crop_size):
        h = int(max(load_size * oh / ow, crop_size))
        picture = picture.resize((load_size, h), Image.BICUBIC)
    if mode == "none":
        h, w = int(round(oh / 4) * 4), int(round(ow / 4) * 4)
        if (h, w) != (oh, ow):
            picture = picture.resize((w, h), Image.BICUBIC)
    return np.asarray(picture)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(30, 50), (47, 23), (24, 24), (26, 20), (22, 30)])
def test_loading_agrees_with_the_published_transforms(mode, size):
    # Heights that scale_width gives here are multiples of 1, as in the published code.
    multiple = 4 if mode == "none" else 1
    load_size, crop_size = 24, 20
    preprocess = Preprocess(mode, load_size, crop_size, multiple=multiple)
    np.testing.assert_array_equal(
        preprocess.load(noise(*size)),
        published_load(noise(*size), mode, load_size, crop_size),
    )


def test_resizing_is_antialiased_bicubic_in_every_channel():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    assert np.all(resize(stripes, 8, 8)[:, 1:-1] == 100)  # the mean: no aliasing
    image = noise(9, 13)
    together = resize(image, 6, 31)
    for channel in range(3):
        alone = resize(image[..., channel : channel + 1], 6, 31)
        np.testing.assert_array_equal(alone[..., 0], together[..., channel])
    assert resize(image, 9, 13) is image


@pytest.mark.parametrize("mode", ["none", "scale_width"])
@pytest.mark.parametrize("multiple", [4, 32])
def test_whole_images_get_sides_that_the_network_can_halve(mode, multiple):
    loaded = Preprocess(mode, 50, 16, multiple=multiple).load(noise(37, 21))
    assert loaded.shape[0] % multiple == loaded.shape[1] % multiple == 0
    height, width = (37, 21) if mode == "none" else (int(50 * 37 / 21), 50)
    assert abs(loaded.shape[0] - height) <= multiple / 2
    assert abs(loaded.shape[1] - width) <= multiple / 2
    tiny = Preprocess("none", multiple=multiple).load(noise(1, 1))
    assert tiny.shape == (multiple, multiple, 3)


def positions(height, width):
    """An image whose pixels say where they were."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, y], -1).astype(np.uint8)


def test_crops_reach_every_position_equally_and_half_are_mirrored():
    preprocess = Preprocess("crop", 8, 4)
    rng = np.random.default_rng(0)
    counts = np.zeros((3, 2, 2), int)
    for _ in range(6000):
        crop = preprocess.augment(positions(6, 5), rng)
        assert crop.shape == (4, 4, 3)
        mirrored = int(crop[0, 0, 1] > crop[0, 1, 1])
        top, left = crop[0, -1 if mirrored else 0, :2]
        expected = positions(6, 5)[top : top + 4, left : left + 4]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if mirrored else expected)
        counts[top, left, mirrored] += 1
    # 12 equally likely outcomes: 500 each, standard deviation 21.4.
    assert np.abs(counts - 500).max() < 5 * 21.4


def test_without_flip_or_crop_nothing_is_random():
    image = noise(8, 8)
    rng = np.random.default_rng(0)
    assert Preprocess("none", flip=False).augment(image, rng) is image
    crops = [
        Preprocess("crop", 8, 4, flip=False).augment(positions(8, 8), rng)
        for _ in range(50)
    ]
    assert all(crop[0, 0, 1] < crop[0, 1, 1] for crop in crops)


def test_pairs_are_cropped_and_mirrored_together():
    preprocess = Preprocess("crop", 8, 4)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(30):
        a, b = preprocess.augment_pair(positions(9, 9), positions(9, 9)[..., :1], rng)
        np.testing.assert_array_equal(a[..., :1], b)
        seen.add(a.tobytes())
    assert len(seen) > 15
    with pytest.raises(UserError, match="7x9 and 9x9 pixels"):
        preprocess.augment_pair(noise(9, 7), noise(9, 9), rng)


def test_test_transform_uses_the_whole_image():
    image = noise(31, 45)
    resized = test_transform(Preprocess("resize_and_crop", 24, 20))(image, "x")
    expected = Image.fromarray(image).resize((20, 20), Image.BICUBIC)
    np.testing.assert_array_equal(resized, np.asarray(expected))
    for mode, shape in {
        "crop": (32, 44, 3),
        "none": (32, 44, 3),
        "scale_width": (16, 24, 3),
        "scale_width_and_crop": (16, 24, 3),
    }.items():
        assert test_transform(Preprocess(mode, 24, 12))(image, "x").shape == shape
    small = test_transform(Preprocess("crop", 24, 20))(noise(8, 8), "x")
    assert small.shape == (8, 8, 3)  # smaller than the crop is no error here


@pytest.mark.parametrize("mode", ["crop", "resize_and_crop"])
def test_a_crop_larger_than_the_image_names_both(mode):
    with pytest.raises(
        UserError, match=r"image trainB/3\.jpg is .*x10 .*crop of 12x12"
    ):
        Preprocess(mode, 10, 12).load(noise(10, 30), "trainB/3.jpg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "zoom"}, "preprocess is 'zoom'; it can be resize_and_crop, crop"),
        ({"load_size": 0}, r"load_size \(0\)"),
        ({"crop_size": 254}, "crop_size is 254; the networks need a multiple of 4"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Preprocess(**options)
