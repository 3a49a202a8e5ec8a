"""Which files are pictures, what is said of the others, and what metadata do."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageCms

from cyclegan_jax.data import formats, load_dataset
from cyclegan_jax.data.archives import Archive
from cyclegan_jax.data.decode import UnreadableImage, decode_image
from cyclegan_jax.data.fingerprint import describe, read
from cyclegan_jax.data.sources import folder_source
from cyclegan_jax.data.traits import TRAITS
from tests.test_cicp import BT2020, PQ, png

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)


def encode(image, format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def swapped_profile():
    """An sRGB profile whose tags for the red and the green primary are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return (
        profile.replace(b"rXYZ", b"?XYZ", 1)
        .replace(b"gXYZ", b"rXYZ", 1)
        .replace(b"?XYZ", b"gXYZ", 1)
    )


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_is_read_and_listed_under_all_its_endings(tmp_path, name):
    options = {"lossless": True} if name == "WEBP" else {}
    data = encode(RGB, name, **options)
    decoded = decode_image(data)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))
    for suffix in formats._SUFFIXES[name]:
        (tmp_path / f"x{suffix.upper()}").write_bytes(data)
    assert len(folder_source(tmp_path)) == len(formats._SUFFIXES[name])


def test_what_no_format_is_for_is_found_by_its_content(tmp_path):
    for name in ("picture", "IMG_1.jpg_large", "scan.old"):
        (tmp_path / name).write_bytes(encode(RGB, "PNG"))
    (tmp_path / "notes.jpg").write_bytes(encode(RGB, "WEBP", lossless=True))
    source = folder_source(tmp_path)
    assert len(source) == 4
    for image in source:
        np.testing.assert_array_equal(image, RGB)
    assert source.left_out == {}


OTHERS = {
    "notes.txt": formats.NO_PICTURE,
    "clip.mov": formats.NO_PICTURE,
    "drawing.svg": formats.OTHER_FORMAT,
    "BM": formats.NO_PICTURE,  # Its first bytes are those of a BMP.
    "DSC_1.NEF": formats.RAW,
    ".DS_Store": formats.SYSTEM,
    "Thumbs.db": formats.SYSTEM,
    "._1.png": formats.SYSTEM,
    "@eaDir/1.png": formats.SYSTEM,
    "__MACOSX/1.png": formats.SYSTEM,
}


def test_nothing_is_left_out_in_silence(tmp_path):
    folder = tmp_path / "set" / "trainA"
    for name in ("1.png", *OTHERS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        raw = name.endswith(("NEF", "png"))
        (folder / name).write_bytes(encode(RGB, "TIFF") if raw else b"BM, no picture")
    source = folder_source(folder)
    assert source.names == ("trainA/1.png",)
    expected = {}
    for name, reason in OTHERS.items():
        shown = name if "/" not in name else f"{name.split('/')[0]}/"
        expected.setdefault(reason, set()).add(f"trainA/{shown}")
    assert {k: set(v) for k, v in source.left_out.items()} == expected
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(tmp_path))
    archived = Archive(tmp_path / "x.zip").left_out
    assert {k: set(v) for k, v in archived.items()} == expected
    os.symlink(tmp_path / "gone.png", folder / "2.png")
    os.mkfifo(folder / "pipe")
    again = folder_source(folder).left_out
    assert again[formats.BROKEN_LINK] == ["trainA/2.png"]
    assert "trainA/pipe" in again[formats.NO_PICTURE]
    assert "1 camera raw, which must be developed first (trainA/DSC_1.NEF)" in (
        again.describe()
    )


def test_heic_without_its_package_is_named(tmp_path, monkeypatch):
    head = struct.pack(">I", 24) + b"ftypheic" + bytes(12)
    (tmp_path / "1.heic").write_bytes(head)
    (tmp_path / "2.png").write_bytes(encode(RGB, "PNG"))
    known = tuple(f for f in formats.FORMATS if f != "HEIF")
    endings = tuple(s for f in known for s in formats._SUFFIXES[f])
    monkeypatch.setattr(formats, "FORMATS", known)
    monkeypatch.setattr(formats, "IMAGE_SUFFIXES", endings)
    monkeypatch.setattr(formats, "_UNAVAILABLE", {".heic": "HEIF"})
    (reason,) = folder_source(tmp_path).left_out
    assert "pillow-heif" in reason
    with pytest.raises(UnreadableImage, match=r"IMG\.jpg .* needs .* pillow-heif"):
        decode_image(head, name="IMG.jpg")


def test_a_profile_is_converted_to_srgb():
    """Red and green primaries exchanged: the oracle is to exchange the channels."""
    profile = swapped_profile()
    expected = RGB[..., [1, 0, 2]].astype(int)
    decoded = decode_image(encode(RGB, "PNG", icc_profile=profile))
    assert np.abs(decoded - expected).max() <= 1
    np.testing.assert_array_equal(
        decode_image(encode(RGB, "PNG", icc_profile=profile), as_stored=True), RGB
    )
    grey = RGB[..., :1].repeat(3, -1)  # Of the same chromaticity in both.
    stored = decode_image(encode(RGB[..., 0], "PNG", icc_profile=profile))
    assert np.abs(stored.astype(int) - grey).max() <= 1
    alpha = RNG.integers(0, 256, (6, 8), np.uint8)
    rgba = np.dstack([RGB, alpha])
    decoded = decode_image(encode(rgba, "PNG", icc_profile=profile), channels=4)
    np.testing.assert_array_equal(decoded[..., 3], alpha)
    assert np.abs(decoded[..., :3] - expected).max() <= 1
    indexed = Image.fromarray(RGB).quantize(16)
    plain = np.asarray(indexed.convert("RGB")).astype(int)
    decoded = decode_image(encode(indexed, "PNG", icc_profile=profile))
    assert np.abs(decoded - plain[..., [1, 0, 2]]).max() <= 1


@pytest.mark.parametrize("profile", [SRGB, b"damaged", SRGB[:200]])
def test_srgb_and_damaged_profiles_change_nothing(profile):
    np.testing.assert_array_equal(
        decode_image(encode(RGB, "PNG", icc_profile=profile)), RGB
    )


def test_a_profile_of_another_kind_of_picture_changes_nothing():
    cmyk = Image.fromarray(RGB).convert("CMYK")
    np.testing.assert_array_equal(
        decode_image(encode(cmyk, "TIFF", icc_profile=swapped_profile())), RGB
    )


TURNS = {  # What undoes each EXIF orientation.
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_unless_asked_otherwise(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(RGB, format, exif=exif, **options)
    np.testing.assert_array_equal(decode_image(data), TURNS[orientation](RGB))
    if format != "TIFF":  # Which Pillow turns by itself.
        np.testing.assert_array_equal(decode_image(data, as_stored=True), RGB)


def test_damaged_exif_data_change_nothing():
    data = encode(RGB, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data), RGB)


def test_what_is_special_about_images_is_counted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(RGB[..., i]) for i in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    sixteen = (RGB[..., 0].astype(np.uint16) * 257).astype(np.uint16)
    pictures = {
        "1.gif": encode(frames[0], "GIF", **more),
        "2.webp": encode(frames[0], "WEBP", **more),
        "3.jpg": encode(RGB, "JPEG", exif=exif),
        "4.png": encode(RGB, "PNG", icc_profile=swapped_profile()),
        "5.png": encode(RGB, "PNG", icc_profile=SRGB),
        "6.png": encode(np.dstack([RGB, RGB[..., 0]]), "PNG"),
        "7.png": encode(sixteen, "PNG"),
        "8.png": png(RGB, BT2020, PQ),
    }
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.png").write_bytes(encode(RGB, "PNG"))
    for name, data in pictures.items():
        (tmp_path / "trainA" / name).write_bytes(data)
    found = read(load_dataset("folder", path=tmp_path)).traits
    once = dict.fromkeys(("turned", "profile", "alpha", "16 bits", "hdr"), 1)
    assert found == {"animated": 2, **once}
    assert set(found) == set(TRAITS)
    told = describe(found)
    assert told.startswith("2 animated")
    assert told.count(";") == len(found) - 1
    assert "not turned" in describe(found, as_stored=True)
    assert describe({}) == ""
