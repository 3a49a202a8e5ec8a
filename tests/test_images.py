"""Pixels to numbers and back."""

import numpy as np

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
