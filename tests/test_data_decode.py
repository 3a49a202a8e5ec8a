"""Decoding: every kind of image file, against Pillow or plain arithmetic."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import decode
from cyclegan_jax.data.decode import UnreadableImage, convert_channels, decode_image

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def encode(image, format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_stored_values(format):
    options = {"lossless": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(decode_image(encode(RGB, format, **options)), RGB)


def test_jpeg_comes_close_and_keeps_its_shape():
    smooth = np.broadcast_to(
        np.arange(0, 160, 10, np.uint8)[:, None, None], (16, 24, 3)
    )
    decoded = decode_image(encode(np.ascontiguousarray(smooth), "JPEG", quality=95))
    assert decoded.shape == (16, 24, 3)
    assert np.abs(decoded.astype(int) - smooth).max() <= 4


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encode(RGB, "PNG"))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(decode_image(source), RGB)


def test_greyscale_is_repeated_and_bilevel_is_black_and_white():
    grey = RGB[..., 0]
    np.testing.assert_array_equal(
        decode_image(encode(grey, "PNG")), np.repeat(grey[..., None], 3, -1)
    )
    bits = Image.fromarray(grey > 127)
    np.testing.assert_array_equal(
        decode_image(encode(bits, "PNG"), channels=1)[..., 0],
        np.where(grey > 127, 255, 0),
    )


def test_transparency_is_dropped_not_composited():
    rgba = np.dstack([RGB, np.zeros((7, 5), np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(rgba, "PNG")), RGB)
    np.testing.assert_array_equal(decode_image(encode(rgba, "PNG"), channels=4), rgba)
    grey_alpha = Image.fromarray(rgba).convert("LA")
    expected = np.asarray(grey_alpha)[..., :1]
    np.testing.assert_array_equal(
        decode_image(encode(grey_alpha, "PNG")), expected.repeat(3, -1)
    )


def test_palette_images_with_transparency_give_their_colours_without_a_warning():
    colours = np.array([[10, 20, 30], [200, 0, 7]], np.uint8)
    indices = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    image = Image.frombytes("P", (3, 2), indices.tobytes())
    image.putpalette(colours.tobytes())
    data = encode(image, "PNG", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode_image(data), colours[indices])


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_greyscale_is_scaled_not_clipped(format):
    values = np.concatenate([np.arange(0, 65536, 97), [65535, 128, 129]])
    values = values.astype(np.uint16)[:676].reshape(26, 26)
    decoded = decode_image(encode(values, format), channels=1)[..., 0]
    np.testing.assert_array_equal(decoded, np.round(values * (255 / 65535)))
    # What it guards against: Pillow's own conversion makes most of it white.
    assert (decoded == 255).mean() < 0.01


def test_big_endian_16_bit_tiff():
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">2H", 257, 65535))
    np.testing.assert_array_equal(
        decode_image(encode(image, "TIFF"), channels=1).ravel(), [1, 255]
    )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("dtype", "channels"),
    [
        *[(dtype, 1) for dtype in ("int8", "int16", "int32", "uint32", "float16")],
        *[("float32", 1), ("float64", 1), ("float32", 3), ("uint16", 2), ("uint16", 5)],
    ],
)
def test_tiffs_that_are_no_pictures_are_named(dtype, channels, big):
    """Pillow takes some for pictures, and says of others that they are no TIFF."""
    tifffile, buffer = pytest.importorskip("tifffile"), io.BytesIO()
    values = np.full((6, 8, channels), 100).astype(dtype)
    how = {"planarconfig": "contig"} if channels > 1 else {}
    values = values if how else values[..., 0]
    tifffile.imwrite(buffer, values, photometric="minisblack", bigtiff=big, **how)
    with pytest.raises(UnreadableImage, match="declare what it is") as refused:
        decode_image(buffer.getvalue(), name="deep.tif")
    assert f"holds {dtype} in {channels} channel" in str(refused.value)


def test_tiffs_that_are_damaged_are_called_so():
    data = encode(np.ones((20, 20), np.uint8), "TIFF")
    for damaged in (data[:6], data[:40], b"II*\0" + bytes(100)):
        with pytest.raises(UnreadableImage, match="cannot be decoded"):
            decode_image(damaged, name="x.tif")


def test_cmyk_becomes_rgb():
    cmyk = Image.fromarray(RGB).convert("CMYK")
    decoded = decode_image(encode(cmyk, "TIFF"))
    np.testing.assert_array_equal(decoded, RGB)  # RGB to CMYK without black and back
    assert decode_image(encode(cmyk, "JPEG"), channels=4).shape == (7, 5, 4)


def test_one_channel_is_itu_r_601_luma():
    decoded = decode_image(encode(RGB, "PNG"), channels=1)
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert decoded.shape == (7, 5, 1)
    assert np.abs(decoded[..., 0] - luma).max() <= 0.51


def test_without_metadata_pixels_are_those_of_the_published_code():
    """To the bit: JPEGs without orientation and profile, as the authors' sets are."""
    for image in (RGB, RGB[..., 0], Image.fromarray(RGB).convert("CMYK")):
        data = encode(image, "JPEG")
        with Image.open(io.BytesIO(data)) as opened:
            published = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(decode_image(data), published)
        np.testing.assert_array_equal(decode_image(data, as_stored=True), published)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(buffer.getvalue())[0, 0], [255, 0, 0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_convert_channels_agrees_with_decoding(channels):
    rgba = np.dstack([RGB, RNG.integers(0, 256, (7, 5), np.uint8)])
    for image in (rgba, RGB, RGB[..., :1]):
        stored = image[..., 0] if image.shape[-1] == 1 else image
        np.testing.assert_array_equal(
            convert_channels(image, channels),
            decode_image(encode(stored, "PNG"), channels=channels),
        )


JPEG = encode(np.tile(RGB, (9, 9, 1)), "JPEG")
PNG = encode(RGB, "PNG")
BROKEN = {
    "truncated jpeg": JPEG[: len(JPEG) // 2],
    "truncated png": PNG[:50],
    "flipped bits": PNG[:45] + bytes([PNG[45] ^ 255]) + PNG[46:],
    "text": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_named(kind):
    with pytest.raises(UnreadableImage, match=r"image trainA/7\.jpg cannot be decoded"):
        decode_image(BROKEN[kind], name="trainA/7.jpg")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableImage, match=r"gone\.png cannot be decoded"):
        decode_image(tmp_path / "gone.png")


def test_too_many_pixels_or_bytes(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(encode(RGB, "PNG"))
    monkeypatch.setattr(decode, "MAX_PIXELS", 34)
    with pytest.raises(UnreadableImage, match="has 5x7 pixels; at most 34"):
        decode_image(path)
    monkeypatch.setattr(decode, "MAX_BYTES", 60)
    with pytest.raises(UnreadableImage, match=r"x\.png is a file of \d+ bytes"):
        decode_image(path)


def test_a_decompression_bomb_is_not_unpacked():
    def chunk(kind, data):
        checked = kind + data
        return (
            struct.pack(">I", len(data))
            + checked
            + struct.pack(">I", zlib.crc32(checked))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        decode_image(bomb, name="bomb.png")
