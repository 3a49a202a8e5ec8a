"""Masks beside images: from the files to the batch."""

import io
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import (
    SPLITS,
    CachedSource,
    DataSettings,
    Preprocess,
    TrainBatches,
    load_dataset,
    test_transform,
)
from cyclegan_jax.data.decode import UnreadableImage
from cyclegan_jax.data.fingerprint import fingerprint
from cyclegan_jax.data.masks import MaskDecoder, MaskedSource, with_masks
from cyclegan_jax.errors import UserError
from cyclegan_jax.files import as_path
from cyclegan_jax.translation import measured
from tests import buckets

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 30, (6, 8)).astype(np.uint8)
FOLDERS = ("trainA", "trainB", "testA", "testB")


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        image = values if isinstance(values, Image.Image) else Image.fromarray(values)
        image.save(path, **options)


def make_set(root, folders=FOLDERS, masked=FOLDERS, count=3):
    """Images of one value each; the mask of image i are the labels, rolled by i."""
    for folder in folders:
        for i in range(count):
            save(root / folder / f"{i}.png", np.full((6, 8, 3), i, np.uint8))
            if folder in masked:
                save(root / f"{folder}_mask" / f"{i}_mask.png", np.roll(LABELS, i))
    return root


def shown(masks):
    return [masks[i][..., 0].tolist() for i in range(len(masks))]


def expected(*indices, values=(24, 26)):
    rolled = (np.roll(LABELS, i) for i in indices)
    return [np.isin(labels, values).astype(int).tolist() for labels in rolled]


# What a file means.


def grey_png(bits):
    """The values 0, 1, 2, 3 in a row of 2 or 4 bits each; 0, 1, 0, 1 in one bit."""

    def chunk(name, content):
        whole = name + content
        return struct.pack(">I", len(content)) + whole + zlib.crc32(whole).to_bytes(4)

    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    row = {1: [0b01010000], 2: [0b00011011], 4: [0x01, 0x23]}[bits]
    pixels = zlib.compress(bytes([0, *row]))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def in_palette(values, colours):
    image = Image.fromarray(values).convert("P")
    image.putpalette(list(colours))
    image.putdata(values.ravel().tolist())
    return image


BINARY = (LABELS > 14).astype(np.uint8)
COLOUR = np.stack([LABELS % 3, LABELS % 5, LABELS % 7], -1).astype(np.uint8)
CLEAR = np.zeros_like(LABELS)


@pytest.mark.parametrize(
    ("name", "image", "setting", "kept"),
    [
        ("grey.png", LABELS, "nonzero", LABELS != 0),
        ("grey.tif", LABELS, "24, 26", (LABELS == 24) | (LABELS == 26)),
        ("background.png", LABELS, "0", LABELS == 0),
        ("bits.png", BINARY.astype(bool), "nonzero", BINARY),
        ("bits.png", BINARY.astype(bool), "1", BINARY),
        ("deep.png", LABELS.astype(np.uint16) * 1000, "24000", LABELS == 24),
        ("ids.npy", LABELS.astype(np.int64), "7,8", (LABELS == 7) | (LABELS == 8)),
        ("mask.npy", BINARY.astype(bool), "nonzero", BINARY),
        ("rgb.png", COLOUR, "nonzero", COLOUR.any(-1)),
        ("alike.png", np.stack([LABELS] * 3, -1), "3", LABELS == 3),
        ("alpha.png", np.stack([LABELS] * 3 + [CLEAR], -1), "3", LABELS == 3),
        ("grey_alpha.png", np.stack([LABELS, CLEAR], -1), "3", LABELS == 3),
        # A palette: by index as a label map; by colour as a mask, where 0 may be white.
        ("map.png", in_palette(LABELS, RNG.bytes(90)), "9", LABELS == 9),
        ("mask.png", in_palette(BINARY, [255] * 3 + [0] * 3), "nonzero", BINARY == 0),
    ],
)
def test_what_is_kept(tmp_path, name, image, setting, kept):
    save(tmp_path / name, image)
    mask = MaskDecoder.of(setting)(tmp_path / name, name)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask[..., 0], kept)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_values_of_few_bits(bits):
    """As optimizers of PNGs write them; Pillow reads them multiplied."""
    kept = MaskDecoder.of("2, 3")(grey_png(bits), "x.png")
    assert kept.tolist() == [[[0], [0], [1], [1]]]


def encoded(values, format_name, **options):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format_name, **options)
    return buffer.getvalue()


DEEP = np.array([[[0, 50, 100]]], np.uint16)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: measured.write(DEEP, ".png"), "colours of 16 bits"),
        (lambda: b"P6 1 1 999 " + DEEP.astype(">u2").tobytes(), "colours of 16 bits"),
        (lambda: b"P5 3 1 7 \0\1\2", "values up to 7, which"),
        (lambda: encoded(LABELS, "TIFF", compression="jpeg"), "compression changes"),
        (lambda: encoded(COLOUR, "WEBP"), "compression changes"),
    ],
)
@pytest.mark.parametrize("setting", ["nonzero", "50"])
def test_values_that_would_be_changed_are_refused(data, message, setting):
    pytest.importorskip("imagecodecs")
    with pytest.raises(UnreadableImage, match=rf"x is a [A-Z]+.*{message}.*\.npy"):
        MaskDecoder.of(setting)(bytes(data()), "x")


def test_formats_that_keep_values():
    for data in (
        encoded(LABELS, "PPM"),
        encoded(LABELS, "TIFF", compression="tiff_lzw"),
        encoded(np.stack([LABELS] * 3, -1), "WEBP", lossless=True),
        encoded(LABELS.astype(np.uint16), "TIFF"),
    ):
        kept = MaskDecoder.of("3")(data, "x")[..., 0]
        np.testing.assert_array_equal(kept, LABELS == 3)


def test_masks_turn_as_images_do(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "x.png", LABELS, exif=exif)
    turned = MaskDecoder.of("3")(tmp_path / "x.png", "x")
    np.testing.assert_array_equal(turned[..., 0], np.rot90(LABELS, -1) == 3)
    stored = MaskDecoder.of("3", as_stored=True)(tmp_path / "x.png", "x")
    np.testing.assert_array_equal(stored[..., 0], LABELS == 3)


@pytest.mark.parametrize(
    ("name", "values", "setting", "message"),
    [
        ("x.jpg", LABELS, "nonzero", "x.jpg is a JPEG, whose compression"),
        ("x.npy", LABELS / 2, "nonzero", "float64, not whole numbers"),
        ("x.npy", np.zeros((2, 3, 4, 1), int), "1", r"\[2, 3, 4, 1\] of int64"),
        ("x.png", COLOUR, "1", r"x.png is in colour, but config\.data\.masks"),
    ],
)
def test_files_that_are_no_masks(tmp_path, name, values, setting, message):
    save(tmp_path / name, values)
    with pytest.raises(UnreadableImage, match=message):
        MaskDecoder.of(setting)(tmp_path / name, name)
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=rf"{name} cannot be decoded"):
        MaskDecoder.of(setting)(tmp_path / name, name)


@pytest.mark.parametrize("setting", ["all", "1;2", "1.5", " ", ","])
def test_settings_that_mean_nothing(setting):
    with pytest.raises(UserError, match=r"config\.data\.masks"):
        DataSettings("streets", masks=setting)


def test_other_channels_cannot_be_kept():
    with pytest.raises(UserError, match=r"data\.masks .* 3 channels \(A\) .* of 1 "):
        DataSettings("streets", masks="nonzero", channels_b=1)


# Where masks are, and which image they are of.


@pytest.mark.parametrize(
    "folders",
    [FOLDERS, ("train/A", "train/B", "val/A", "val/B"), ("A/train", "B/train")],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_folders_beside_the_images(tmp_path, folders, zipped):
    path = make_set(tmp_path / "set", folders, folders)
    save(path / f"{folders[1]}_mask" / "+7.png", LABELS)  # The first.
    if zipped:
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "set").rglob("*.png"):
                archive.write(file, file.relative_to(tmp_path))
    dataset = load_dataset("folder", path=path, masks="24, 26")
    assert list(dataset.masks) == list(SPLITS[: len(folders)])
    for masks in dataset.masks.values():
        assert shown(masks) == expected(0, 1, 2)
    assert dataset.left_out == {"mask of no image": [f"{folders[1]}_mask/+7.png"]}
    assert dataset.notes == ()
    plain = load_dataset("folder", path=path)
    assert plain.masks == {}
    assert f"{folders[0]}_mask/" in plain.left_out["in no split"]


def test_masks_in_a_bucket(tmp_path):
    local = make_set(tmp_path / "set", FOLDERS[:2], FOLDERS[:1])
    with buckets.used(tmp_path / "server"):
        path = as_path(f"gs://{buckets.NAME}/set")
        for file in local.rglob("*.png"):
            (path / str(file.relative_to(local))).write_bytes(file.read_bytes())
        dataset = load_dataset("folder", path=path, masks="24, 26")
        assert shown(dataset.masks["train_a"]) == expected(0, 1, 2)


def test_folders_that_are_named_one_by_one(tmp_path):
    make_set(tmp_path, ("cats", "dogs"), ("cats",))
    folders = {"train_a": f"{tmp_path}/cats", "train_b": f"{tmp_path}/dogs/"}
    dataset = load_dataset("folder", folders=folders, masks="24, 26")
    assert shown(dataset.masks["train_a"]) == expected(0, 1, 2)
    (note,) = dataset.notes
    assert note.startswith("there are no masks of train_b, which")


def test_authors_sets_unpacked_with_masks(tmp_path):
    make_set(tmp_path, masked=("trainA",))
    dataset = load_dataset("cycle_gan/horse2zebra", path=tmp_path, masks="24, 26")
    assert shown(dataset.masks["train_a"]) == expected(0, 1, 2)


def test_every_image_has_a_mask_or_none_has(tmp_path):
    make_set(tmp_path)
    (tmp_path / "trainB_mask" / "1_mask.png").unlink()
    with pytest.raises(
        UserError, match=r"1 of 3 images have no mask, such as trainB/1\.png \("
    ):
        load_dataset("folder", path=tmp_path, masks="nonzero")
    dataset = load_dataset("folder", path=tmp_path, masks="1", splits=SPLITS[2:])
    assert list(dataset.masks) == ["test_a", "test_b"]


@pytest.mark.parametrize(
    ("values", "text"),
    [([0, 0, 0], "no pixel: .* 'nonzero', .* are 0"), ([9, 1, 255], "every pixel")],
)
def test_masks_that_keep_nothing_or_everything_are_noted(tmp_path, values, text):
    make_set(tmp_path, FOLDERS[:2], ())
    for i, value in enumerate(values):
        save(tmp_path / f"trainA_mask/{i}.png", np.full((6, 8), value, np.uint8))
    notes = load_dataset("folder", path=tmp_path, masks="nonzero").notes
    assert len(notes) == 2
    assert "train_b" in notes[0]
    assert re.search(rf"^3 masks of train_a .* keep {text}", notes[1])


def test_what_leaves_images_out_leaves_their_masks_out(tmp_path, capsys):
    make_set(tmp_path)
    (tmp_path / "trainA" / "0.png").write_bytes(b"broken")
    (tmp_path / "trainB_mask" / "1_mask.png").write_bytes(b"broken")
    options = {"masks": "24, 26", "on_corrupt": "skip", "quiet": True}
    dataset = load_dataset("folder", path=tmp_path, **options)
    assert shown(dataset.masks["train_a"]) == expected(1, 2)
    assert dataset.train_b.names == ("trainB/0.png", "trainB/2.png")
    assert shown(dataset.masks["train_b"]) == expected(0, 2)
    assert "trainB_mask/1_mask.png" in capsys.readouterr().err
    dataset = load_dataset("folder", path=tmp_path, masks="24, 26", max_images=1)
    assert shown(dataset.masks["test_b"]) == expected(0)
    (tmp_path / "testA" / "3.png").write_bytes(b"without a partner")
    save(tmp_path / "testA_mask" / "3.png", LABELS)
    dataset = load_dataset("folder", path=tmp_path, masks="24, 26", paired_test=True)
    assert shown(dataset.masks["test_a"]) == expected(0, 1, 2)


def test_fingerprints_are_of_masks_too(tmp_path):
    make_set(tmp_path, masked=("trainB",))
    before = fingerprint(load_dataset("folder", path=tmp_path, masks="1"))
    assert set(before) == {*SPLITS, "train_b_mask"}
    save(tmp_path / "trainB_mask" / "1_mask.png", LABELS)
    now = fingerprint(load_dataset("folder", path=tmp_path, masks="1"))
    assert [s for s in now if now[s] != before[s]] == ["train_b_mask"]
    assert set(fingerprint(load_dataset("folder", path=tmp_path))) == set(SPLITS)


# From masks to batches.


class Places:
    """Images whose colours are the place of each pixel, in two sizes."""

    def __init__(self, dtype=np.uint8):
        self.names, self._dtype = ["trainA/0.png", "trainA/1.png"], dtype

    def __len__(self):
        return 2

    def __getitem__(self, index):
        y, x = np.mgrid[: 12 + index, : 10 + 3 * index]
        return np.stack([y, x, np.full_like(x, index)], -1).astype(self._dtype)


class Drawn:
    """Masks of those images."""

    names = ("trainA_mask/0.png", "trainA_mask/1.png")
    arrays = tuple(
        RNG.integers(0, 2, size).astype(np.uint8) for size in ((12, 10, 1), (13, 13, 1))
    )

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.arrays[index]


def batches(masked, dtype=np.uint8, cache_bytes=0):
    transform = Preprocess("crop", 8, 8)
    images, load = Places(dtype), transform.load
    if masked:
        images, load = MaskedSource(images, Drawn()), with_masks(load)
    cached = CachedSource(images, load, cache_bytes=cache_bytes, quiet=True)
    plain = CachedSource(Places(), transform.load, cache_bytes=0, quiet=True)
    return TrainBatches(
        cached, plain, transform, seed=0, batch_size=4, masked=["a"] * masked
    )


@pytest.mark.parametrize(("dtype", "cache_bytes"), [("uint8", 2**20), ("float32", 0)])
def test_a_mask_is_cropped_and_flipped_with_its_image(dtype, cache_bytes):
    """Every pixel of the batch knows where it comes from."""
    stream, plain = batches(True, dtype, cache_bytes), batches(False, dtype)
    flipped = 0
    for step in range(8):
        batch, other = stream[step], plain[step]
        assert set(batch) == {"a", "b", "mask_a"}
        assert set(other) == {"a", "b"}
        for name in "ab":
            np.testing.assert_array_equal(batch[name], other[name])
            assert batch[name].dtype == other[name].dtype
        assert batch["mask_a"].dtype == bool
        assert batch["mask_a"].shape == (4, 8, 8, 1)
        for image, mask in zip(batch["a"].astype(int), batch["mask_a"], strict=True):
            y, x, index = np.moveaxis(image, -1, 0)
            stored = Drawn.arrays[index[0, 0]]
            np.testing.assert_array_equal(mask, stored[y, x] > 0)
            flipped += x[0, 0] > x[0, 1]
    assert 8 < flipped < 24


@pytest.mark.parametrize("mode", ["resize_and_crop", "scale_width", "none"])
def test_a_mask_is_resized_to_its_nearest_pixels(mode):
    preprocess = Preprocess(mode, load_size=16, crop_size=8)
    source = MaskedSource(Places(), Drawn())
    for transform in (preprocess.load, test_transform(preprocess)):
        for i in range(2):
            loaded = with_masks(transform)(source[i], "x")
            image = transform(Places()[i], "x")
            np.testing.assert_array_equal(loaded[..., :-1], image)
            stored = Drawn.arrays[i]
            (h, w), (height, width) = stored.shape[:2], image.shape[:2]
            y = ((np.arange(height) + 0.5) * h / height).astype(int)
            x = ((np.arange(width) + 0.5) * w / width).astype(int)
            np.testing.assert_array_equal(loaded[..., -1], stored[y][:, x, 0])


def test_image_and_mask_of_different_sizes(tmp_path):
    make_set(tmp_path)
    save(tmp_path / "trainA_mask" / "1_mask.png", LABELS[:5])
    dataset = load_dataset("folder", path=tmp_path, masks="1")
    source = MaskedSource(dataset.train_a, dataset.masks["train_a"])
    assert source[0].shape == (6, 8, 4)
    with pytest.raises(UserError, match=r"trainA/1\.png has 8x6 .*1_mask\.png 8x5"):
        source[1]
