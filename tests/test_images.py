"""Pixels to numbers and back."""

import numpy as np
from PIL import Image

from cyclegan_jax import images


def test_there_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    values = images.to_float(pixels)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, (pixels / 255 - 0.5) / 0.5, atol=1e-6)
    np.testing.assert_array_equal(images.to_uint8(values), pixels)


def test_rounds_and_clips():
    values = np.array([-2.0, -1.0, 0.0, 0.9999, 3.0])
    assert images.to_uint8(values).tolist() == [0, 0, 128, 255, 255]


def test_save_png(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    images.save_png(tmp_path / "colour.png", pixels)
    np.testing.assert_array_equal(Image.open(tmp_path / "colour.png"), pixels)
    images.save_png(tmp_path / "grey.png", pixels[..., :1])
    np.testing.assert_array_equal(Image.open(tmp_path / "grey.png"), pixels[..., 0])
    assert len(list(tmp_path.iterdir())) == 2  # No temporary file stays.
