"""Pictures that name their colours by number, against the standards' equations."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from cyclegan_jax.data import fingerprint
from cyclegan_jax.data.decode import decode_image
from cyclegan_jax.data.traits import traits
from cyclegan_jax.translation import files as translation
from tests.translating import make_run

LIGHT = np.array([0, 10, 50, 100, 203, 1000.0])  # cd/m²
BT2020, DISPLAY_P3, SRGB, PQ, HLG = 9, 12, 13, 16, 18


def encode(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels, primaries, transfer, **options):
    """With a cICP chunk, which Pillow cannot write."""
    data = encode(pixels, **options)
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    check = struct.pack(">I", zlib.crc32(body))
    return data[:33] + struct.pack(">I", 4) + body + check + data[33:]


def grey(codes):
    levels = np.rint(255 * np.asarray(codes)).astype(np.uint8)
    return np.repeat(levels[None, :, None], 3, axis=-1)


def pq(light):
    """SMPTE ST 2084."""
    power = (light / 10_000) ** (2610 / 16384)
    code = (3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)
    return code ** (2523 / 32)


def srgb(light):
    """IEC 61966-2-1."""
    curve = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    return 255 * np.where(light <= 0.0031308, 12.92 * light, curve)


def test_pq():
    data = png(grey(pq(LIGHT)), BT2020, PQ)
    expected = srgb(np.minimum(LIGHT / 203, 1))
    np.testing.assert_allclose(decode_image(data)[0, :, 1], expected, atol=2)
    assert traits(data) == ["hdr"]
    text = fingerprint.describe({"hdr": 2})
    assert text == "2 of HDR: what is brighter than white paper (203 cd/m²) is white"
    stored = decode_image(data, as_stored=True)
    np.testing.assert_array_equal(stored, grey(pq(LIGHT)))


def test_hlg():
    """ITU-R BT.2408, table 1: in per cent of the signal, and cd/m² on 1,000."""
    percent, light = np.array([38, 75, 100]), np.array([26, 203, 1000])
    data = png(grey(percent / 100), BT2020, HLG)
    expected = srgb(np.minimum(light / 203, 1))
    np.testing.assert_allclose(decode_image(data)[0, :, 1], expected, atol=3)


@pytest.mark.parametrize(
    ("primaries", "matrix"),
    [  # ITU-R BT.2087; Apple's Display P3.
        (BT2020, [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083]]),
        (DISPLAY_P3, [[1.2249, -0.2249, 0], [-0.0420, 1.0420, 0]]),
    ],
)
def test_wide_colours(primaries, matrix):
    colours = np.array([[[200, 180, 170], [90, 120, 100], [128, 128, 128]]], np.uint8)
    data = png(colours, primaries, SRGB)
    code = colours / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    expected = srgb(light @ np.array(matrix).T)
    np.testing.assert_allclose(decode_image(data)[..., :2], expected, atol=1)
    assert traits(data) == ["profile"]


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_avif_and_heic(kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif")
    data = encode(np.full((16, 16, 3), 128, np.uint8), kind, quality=95)
    np.testing.assert_allclose(decode_image(data), 128, atol=1)
    at = data.index(b"colrnclx") + 8
    hdr = data[:at] + struct.pack(">HH", BT2020, PQ) + data[at + 4 :]
    light = 10 ** np.interp(128 / 255, pq(10.0 ** (x := np.linspace(0, 3, 1000))), x)
    np.testing.assert_allclose(decode_image(hdr), srgb(light / 203), atol=2)
    assert traits(hdr) == ["hdr"]


def test_what_is_ordinary_is_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    for primaries, transfer in ((1, SRGB), (1, 1), (2, 2), (99, 99)):
        np.testing.assert_array_equal(
            decode_image(png(pixels, primaries, transfer)), pixels
        )


def test_the_chunk_comes_before_the_profile():
    """As the PNG specification (third edition) says."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = png(grey(pq(LIGHT)), BT2020, PQ, icc_profile=profile)
    plain = png(grey(pq(LIGHT)), BT2020, PQ)
    np.testing.assert_array_equal(decode_image(data), decode_image(plain))
    alpha = np.dstack([grey(pq(LIGHT)), [[0, 50, 100, 150, 200, 255]]])
    kept = decode_image(png(alpha.astype(np.uint8), BT2020, PQ), channels=4)
    np.testing.assert_array_equal(kept[..., :3], decode_image(plain))
    np.testing.assert_array_equal(kept[..., 3], [[0, 50, 100, 150, 200, 255]])


def test_translation_says_it(tmp_path, capsys):
    run = make_run(tmp_path)
    pixels = np.full((8, 8, 3), 128, np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels, BT2020, PQ))
    frames = [Image.fromarray(pixels + i) for i in range(2)]
    moving = png(pixels, BT2020, HLG, save_all=True, append_images=frames)
    (tmp_path / "b.png").write_bytes(moving)
    given = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert translation.translate(given, tmp_path / "out", workdir=run) == 0
    said = capsys.readouterr().out
    assert "1 of HDR (PQ): what is brighter" in said
    assert "1 of HDR (HLG): what is brighter" in said
