"""Measured values, of any type, range and number of channels: in, through, and out."""

import io
import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from configs import folder
from cyclegan_jax import evaluation, images
from cyclegan_jax.cli.arguments import read_config
from cyclegan_jax.core.methods.interface import Translation
from cyclegan_jax.data import (
    DataSettings,
    arrays,
    declared,
    fingerprint,
    open_dataset,
    test_transform,
)
from cyclegan_jax.data.decode import Decoder, UnreadableImage, decode_image
from cyclegan_jax.data.preprocess import Preprocess
from cyclegan_jax.data.sources import folder_source
from cyclegan_jax.data.traits import traits
from cyclegan_jax.errors import UserError
from cyclegan_jax.export.exporting import Generator
from cyclegan_jax.metrics import pictures
from cyclegan_jax.runs import configuration
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.training import loop
from cyclegan_jax.translation import batch, files, measured
from cyclegan_jax.translation.photos import Photo
from cyclegan_jax.translation.saving import Style
from cyclegan_jax.translation.translator import Translator
from tests.test_docs_commands import commands
from tests.test_masks import grey_png

imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")

# dtype, the declared range ("()": all), channels.
KINDS = [
    ("uint8", (0, 255), 5),
    ("uint8", (0, 255), 3),
    ("uint16", (), 1),
    ("uint16", (), 3),
    ("uint16", (100, 4195), 32),
    ("int16", (-1024, 3071), 2),
    ("float16", (0, 1), 3),
    ("float32", (-5.5, 0.1), 4),
    ("float64", (0, 1e-3), 7),
]


def kind_of(dtype="uint16", limits=(), channels=3, shown=()):
    settings = {"dtype": dtype, "range": limits, "channels": channels, "shown": shown}
    return declared({f"{name}_a": value for name, value in settings.items()}, "a")


def values_of(pixels, height=12, width=20, seed=0):
    """Values all over the declared range, both limits among them."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(pixels.low, pixels.high, (height, width, pixels.channels))
    values[0, 0], values[0, 1] = pixels.low, pixels.high
    return pixels.fit(values).astype(pixels.dtype)


@pytest.mark.parametrize(("dtype", "limits", "channels"), KINDS)
def test_values_come_back_to_half_a_step_from_every_kind_of_file(
    dtype, limits, channels
):
    pixels = kind_of(dtype, limits, channels)
    stored = values_of(pixels)
    half = pixels.step / 2
    for suffix in measured.suffixes(pixels):
        data = measured.write(stored, f".{suffix}")
        read = Decoder(pixels=pixels)(data, "x")
        np.testing.assert_array_equal(read, stored.astype(pixels.memory_dtype))
        networks = np.asarray(pixels.to_float(read))
        assert networks.dtype == np.float32
        assert (networks.min(), networks.max()) == (-1, 1)
        back = pixels.from_float(networks)
        assert back.dtype == dtype
        again = Decoder(pixels=pixels)(measured.write(back, f".{suffix}"), "x")
        assert np.abs(again.astype(float) - stored.astype(float)).max() <= half


def test_every_16_bit_value_comes_back_exactly_on_the_host_and_in_a_program():
    import jax

    pixels = kind_of(channels=1)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for networks in (pixels.to_float(every), jax.jit(pixels.to_float)(every)):
        back = pixels.from_float(np.asarray(networks))
        np.testing.assert_array_equal(back, every)


def test_8_bit_pictures_are_the_default_instance():
    every = np.arange(256, dtype=np.uint8)
    published = every.astype(np.float32) / np.float32(127.5) - np.float32(1)
    assert images.PICTURE.to_float(every).tobytes() == published.tobytes()
    np.testing.assert_array_equal(images.PICTURE.from_float(published), every)
    assert declared(configuration.defaults().data, "a") == images.PICTURE


def test_files_of_others_are_read_as_they_are():
    """Written by tifffile, imagecodecs, NumPy and Pillow in their own ways."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 65536, (7, 9, 3)).astype(np.uint16)
    read = Decoder(pixels=kind_of())

    def tiff(array, **options):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        return buffer.getvalue()

    planes = np.moveaxis(colour, -1, 0)
    for data in (
        imagecodecs.png_encode(colour),
        tiff(colour, photometric="rgb", compression="lzw", predictor=True),
        tiff(colour, photometric="rgb", byteorder=">"),
        tiff(planes, photometric="minisblack"),  # A page for each channel.
        tiff(planes, photometric="rgb", planarconfig="separate"),
        tiff(planes, imagej=True, metadata={"axes": "CYX"}),
        measured.write(colour.astype(">u2"), ".npy"),
    ):
        np.testing.assert_array_equal(read(data, "x"), colour)
    grey = Decoder(pixels=kind_of(channels=1))
    buffer = io.BytesIO()
    Image.fromarray(colour[..., 0]).save(buffer, "PNG")
    np.testing.assert_array_equal(grey(buffer.getvalue(), "x"), colour[..., :1])


def npz(**arrays_):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays_)
    return buffer.getvalue()


RAMP = np.linspace(0, 4000, 60).astype(np.uint16).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (measured.write(RAMP.astype(np.uint8), ".npy"), "uint8, not uint16"),
        (measured.write(RAMP.astype(np.float32), ".tif"), "float32, not uint16"),
        (measured.write(RAMP.astype(">i4"), ".npy"), "are int32, not uint16"),
        (measured.write(RAMP[..., :2], ".png"), "2 channels, not 3"),
        (measured.write(RAMP + np.uint16(9), ".png"), "9 to 4009, .*range 0 to 4000"),
        (measured.write(np.moveaxis(RAMP, -1, 0), ".npy"), "channels come last"),
        (measured.write(RAMP, ".tif")[:200], "cannot be decoded"),
        (measured.write(RAMP, ".png")[:90], "cannot be decoded"),
        (measured.write(RAMP, ".npz")[:90], "cannot be decoded"),
        (measured.write(RAMP, ".npy")[:140], "cannot be decoded"),
        (npz(a=RAMP, b=RAMP), r"one array.*a\.npy, b\.npy"),
        (measured.write(RAMP[:0], ".npy"), "empty"),
        (b"text", "cannot be decoded"),
    ],
)
def test_other_files_are_refused_in_a_sentence_that_names_them(data, expected):
    decode = Decoder(pixels=kind_of(limits=(0, 4000)))
    with pytest.raises(UnreadableImage, match=expected) as caught:
        decode(data, "trainA/seven.tif")
    assert "trainA/seven.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_is_refused_and_objects_are_not_unpickled():
    pixels = kind_of("float32", (0, 1), 1)
    array = np.full((4, 4, 1), 0.5, np.float32)
    array[1, 2] = np.nan
    with pytest.raises(UnreadableImage, match="NaN"):
        Decoder(pixels=pixels)(measured.write(array, ".npy"), "x")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    huge = measured.write(array, ".npy").replace(b"(4, 4)", b"(9999, 9999)")
    with pytest.raises(UnreadableImage, match="ends before"):
        Decoder(pixels=pixels)(huge, "x")
    with pytest.raises(UnreadableImage, match="object"):
        Decoder(pixels=pixels)(buffer.getvalue(), "x")
    with pytest.raises(UnreadableImage, match=r"dtype_a"):
        decode_image(measured.write(array, ".npy"), name="x")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dtype": "uint32"}, "dtype_a"),
        ({"dtype": "float32"}, "range_a"),
        ({"limits": (5, 5)}, "range_a"),
        ({"limits": (0, 70000)}, "range_a"),
        ({"limits": (0, 1, 2)}, "range_a"),
        ({"limits": (0.5, 9)}, "range_a"),
        ({"dtype": "float32", "limits": (-3e38, 3e38)}, "range_a"),
        ({"dtype": "float64", "limits": (0, 1e39)}, "range_a"),
        ({"dtype": "float64", "limits": (1e6, 1e6 + 1)}, "range_a"),
        ({"channels": 33}, "channels_a"),
        ({"dtype": "uint8", "channels": 2}, "channels_a"),
        ({"shown": (0, 3, 1)}, "shown_a"),
        ({"shown": (0, 1)}, "shown_a"),
        ({"dtype": "uint8", "shown": (0,)}, "shown_a"),
    ],
)
def test_settings_that_describe_no_values_are_refused(change, name):
    with pytest.raises(UserError, match=f"config.data.{name}"):
        kind_of(**change)


def test_settings_survive_the_file_of_a_run():
    config = configuration.defaults()
    config.data.range_a, config.data.dtype_a = "0, 4095", "uint16"
    stored = json.loads(json.dumps(config.to_dict()))
    assert not configuration.differences(stored, config.to_dict())
    config.data.range_a = "0, 4096"
    assert list(configuration.differences(stored, config.to_dict())) == ["data.range_a"]
    config.data.range_a = "0, x"
    with pytest.raises(UserError, match="range_a"):
        declared(config.data, "a")


def test_the_command_in_the_documents_declares_what_it_says():
    page = (pathlib.Path(__file__).parent.parent / "docs/data.md").read_text()
    words = next(rest for _, rest in commands(page) if "dtype_a" in " ".join(rest))
    data = read_config("folder", [w for w in words if w.startswith("--config.")]).data
    expected = images.Pixels("int16", -1024, 3071, 1, True, (0,))
    assert declared(data, "a") == expected
    expected = images.Pixels("uint16", 0, 4095, 2, True, (0,))
    assert declared(data, "b") == expected


def test_resizing_keeps_type_range_and_each_channel_to_itself():
    """Pillow's own filter in float32 is the oracle."""
    pixels = kind_of("uint16", (0, 60000), 5)
    stored = values_of(pixels, 16, 24)
    load = test_transform(Preprocess(load_size=8, crop_size=8), pixels)
    small = load(stored)
    assert (small.dtype, small.shape) == (np.uint16, (8, 8, 5))
    assert small.max() <= 60000
    for channel in range(5):
        plane = Image.fromarray(stored[..., channel].astype(np.float32))
        expected = np.asarray(plane.resize((8, 8), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(
            small[..., channel], expected.clip(0, 60000), atol=0.51
        )


def test_pictures_of_more_than_8_bits_are_told_of():
    """Pillow reads them with 8 bits in silence."""
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    tif = io.BytesIO()
    tifffile.imwrite(tif, deep, photometric="rgb")
    ppm = b"P6 8 8 65535\n" + deep.astype(">u2").tobytes()
    jp2 = imagecodecs.jpeg2k_encode(deep, level=0)
    avif = imagecodecs.avif_encode(deep >> 6, bitspersample=10)
    for data in (imagecodecs.png_encode(deep), tif.getvalue(), ppm, jp2, avif):
        assert "16 bits" in traits(data)
    small = (deep >> 8).astype(np.uint8)
    for format in ("PNG", "TIFF", "PPM", "JPEG2000", "AVIF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, format)
        assert traits(buffer.getvalue()) == []


def test_differences_are_of_the_declared_range():
    pixels = kind_of("uint16", (1000, 3000), 2)
    a, b = values_of(pixels, seed=0), values_of(pixels, seed=1)
    result = pictures.compare(a[None], b[None], pixels=pixels)
    l1 = np.abs(a.astype(float) - b.astype(float)).mean() / 2000
    mse = np.square((a.astype(float) - b.astype(float)) / 2000).mean()
    np.testing.assert_allclose(result["l1"], l1, rtol=1e-5)
    np.testing.assert_allclose(result["psnr"], -10 * np.log10(mse), rtol=1e-5)
    same = pictures.compare(a[None], a[None], pixels=kind_of(channels=2))["psnr"]
    np.testing.assert_allclose(same, 20 * np.log10(2 * 65535), rtol=1e-5)


# A: 16 bits in 5 channels, in .npy and TIFF; B = A's first two channels + 1000, as
# float32 with the range shifted alike, so that the identity in [-1, 1] translates.
LIMITS_A, LIMITS_B = "0, 4095", "1000, 5095"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one step on such data, with everything that a training writes."""
    root = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(3)
    for split in ("train", "test"):
        for letter in "AB":
            (root / "set" / f"{split}{letter}").mkdir(parents=True)
        for number in range(4):
            a = rng.integers(0, 4096, (36, 36, 2)).astype(np.uint16)
            b = (a + 1000).astype(np.float32)
            suffix = ".npy" if number % 2 else ".tif"
            for letter, values in (("A", a), ("B", b)):
                path = root / "set" / f"{split}{letter}" / f"{number}{suffix}"
                path.write_bytes(measured.write(values, suffix))
    config = folder.get_config("smoke")
    config.data.path = str(root / "set")
    config.data.channels_a = config.data.channels_b = 2
    config.data.dtype_a, config.data.range_a = "uint16", LIMITS_A
    config.data.dtype_b, config.data.range_b = "float32", LIMITS_B
    config.data.shown_b = "1"
    config.data.paired_test = True
    config.batch_size, config.max_steps = 2, 1
    config.generator.width = config.discriminator.width = 4
    config.sample_every_steps, config.evaluate_every_steps = 1, 1
    assert loop.train(config, root / "run") == 0
    return root / "run"


@pytest.mark.slow
def test_a_run_trains_samples_and_is_told_of(run):
    assert json.loads((run / "config.json").read_text())["data"]["range_b"] == (
        LIMITS_B
    )
    page = (run / "index.html").read_text()
    assert "uint16 from 0 to 4095" in page
    assert "float32 from 1000 to 5095" in page
    with Image.open(next((run / "samples").glob("*.png"))) as grid:
        assert grid.mode == "RGB"
    losses = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("test/AtoB/paired_l1" in line for line in losses)


def test_what_is_for_pictures_says_so_and_what_is_exported_states_the_range(run):
    loaded = Run.load(run)
    with pytest.raises(UserError, match="A are uint16 from 0 to 4095, and the app"):
        loaded.check_pictures("the app")
    contract = Generator.of(loaded, "AtoB").contract
    assert "uint16 from 0 to 4095 in images" in contract
    assert "float32 from 1000 to 5095 in translations" in contract


@pytest.fixture
def identity(run, monkeypatch):
    """The run, with networks that leave values in [-1, 1] as they are."""
    loaded = Run.load(run)
    networks = {"AtoB": "g_ab", "BtoA": "g_ba"}
    same = {
        direction: Translation((name,), lambda variables, x, key: x, None)
        for direction, name in networks.items()
    }
    monkeypatch.setattr(
        type(loaded.method), "translations", property(lambda self: same)
    )
    return loaded


def test_translation_gives_values_and_type_of_the_other_domain(identity, tmp_path, run):
    a = np.random.default_rng(5).integers(0, 4096, (18, 22, 2)).astype(np.uint16)
    result = Translator(identity, "AtoB")(a)
    assert (result.dtype, result.shape) == (np.float32, a.shape)
    np.testing.assert_allclose(result, a + 1000.0, atol=0.5 * 4095 / 65535)
    back = Translator(identity, "BtoA")(result)
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, a)
    with pytest.raises(UserError, match="float64, not uint16"):
        Translator(identity, "AtoB")(a.astype(float))


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 3), (2, 4, 5, 1), (3, 4, 5, 3)])
def test_what_is_written_is_read_back(shape, suffix):
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    pixels = kind_of(channels=shape[-1])
    pages = arrays.read_pages(measured.write(values, suffix), pixels)
    np.testing.assert_array_equal(pages, values.reshape(-1, *shape[-3:]))


def test_a_file_of_no_pages_is_named(tmp_path):
    for name, pages in (("0", 0), ("1", 1), ("2", 2)):
        stack = np.ones((pages, 16, 16, 1), np.uint16)
        (tmp_path / f"{name}.npy").write_bytes(measured.write(stack, ".npy"))
    decoder = Decoder(pixels=kind_of(channels=1))
    source = folder_source(tmp_path, decoder=decoder, root=tmp_path.parent)
    names = [name.partition("/")[2] for name in source.names]
    assert names == ["0.npy", "1.npy", "2/0001.npy", "2/0002.npy"]
    with pytest.raises(UserError, match=r"0\.npy .* is not .* empty"):
        source[0]


@pytest.mark.parametrize("suffix", ["tif", "npy", "npz"])
def test_files_are_translated_there_and_back(identity, tmp_path, run, suffix):
    a = np.random.default_rng(5).integers(0, 4096, (3, 18, 22, 2)).astype(np.uint16)
    given = tmp_path / "in"
    given.mkdir()
    (given / "one.png").write_bytes(measured.write(a[0], ".png"))
    (given / "two.npy").write_bytes(measured.write(a[1], ".npy"))
    (given / "stack.tif").write_bytes(measured.write(a, ".tif"))
    out = tmp_path / "out"
    status = files.translate(
        [str(given)], out, workdir=run, cycle=True, grid=True, image_format=suffix
    )
    assert status == 0
    kind_a, kind_b = identity.experiment.pixels.a, identity.experiment.pixels.b
    for name, expected in (("one", a[:1]), ("two", a[1:2]), ("stack", a)):
        b = arrays.read_pages((out / f"{name}.{suffix}").read_bytes(), kind_b)
        np.testing.assert_allclose(b, expected + 1000.0, atol=0.5 * 4095 / 65535)
        back = (out / "cycle" / f"{name}.{suffix}").read_bytes()
        np.testing.assert_array_equal(arrays.read_pages(back, kind_a), expected)
    assert (out / "grid" / "sheet_000.png").is_file()


def test_translation_refuses_what_does_not_fit_by_file(run, tmp_path, capsys):
    good = np.zeros((16, 16, 2), np.uint16)
    for name, values in (
        ("good.npy", good),
        ("bits.npy", good.astype(np.uint8)),
        ("bright.npy", good + np.uint16(5000)),
    ):
        (tmp_path / name).write_bytes(measured.write(values, ".npy"))
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.jpg")
    given = [str(tmp_path / f"{n}.npy") for n in ("good", "bits", "bright")]
    out = tmp_path / "out"
    status = files.translate([*given, str(tmp_path / "photo.jpg")], out, workdir=run)
    assert status == 1
    assert [path.name for path in out.iterdir()] == ["good.tif"]
    told = capsys.readouterr()
    assert "bits.npy" in told.err
    assert "uint8, not uint16" in told.err
    assert "5000 to 5000" in told.err
    assert "photo.jpg" in told.err
    with pytest.raises(UserError, match="tif, tiff, npy, npz"):
        files.translate(given, out, workdir=run, image_format="jpg")


def test_a_missing_package_costs_only_the_files_that_need_it(
    run, tmp_path, capsys, monkeypatch
):
    values = np.zeros((16, 16, 2), np.uint16)
    for suffix in (".npy", ".tif"):
        (tmp_path / f"x{suffix[1:]}{suffix}").write_bytes(
            measured.write(values, suffix)
        )
    monkeypatch.setitem(sys.modules, "tifffile", None)
    out = tmp_path / "out"
    given = [str(tmp_path)]
    assert files.translate(given, out, workdir=run, image_format="npy") == 1
    assert [path.name for path in out.iterdir()] == ["xnpy.npy"]
    told = capsys.readouterr()
    assert "xtif.tif" in told.err
    assert "pip install tifffile" in told.err


def test_evaluation_states_the_range_and_leaves_out_what_is_for_pictures(
    identity, run, monkeypatch
):
    experiment = Experiment.of(identity.config)
    networks = evaluation.FeatureNetworks({"inception": None, "lpips": None})
    evaluator = evaluation.Evaluator(
        identity.dataset(), experiment.preprocess, networks, quiet=True
    )
    told = " ".join(evaluator.notes)
    assert "FID and KID, LPIPS of translations to B are left out" in told
    result = evaluation.evaluate(run)
    assert "float32 from 1000 to 5095" in result["rounding"]
    assert any("channel 1, with 8 bits" in note for note in result["notes"])
    for direction in ("AtoB", "BtoA"):
        # Resized values of A are rounded to whole ones, those of B are not.
        assert result[direction]["paired_l1"] < 0.5 / 4095
        assert not any("fid" in key for key in result[direction])
    pictures_of = run / "evaluation" / "1" / "AtoB" / "output"
    with Image.open(pictures_of / "0.png") as shown:
        b = identity.dataset().test_b[0]
        load = test_transform(experiment.preprocess, experiment.pixels.b)
        expected = np.rint((load(b)[..., 1] - 1000) / 4095 * 255)
        np.testing.assert_allclose(np.asarray(shown), expected, atol=1)


def test_every_page_of_a_stack_is_an_image(tmp_path):
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 65536, (3, 8, 10)).astype(np.uint16)
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        tifffile.imwrite(
            tmp_path / split / "volume.tif", stack, photometric="minisblack"
        )
        np.save(tmp_path / split / "zero.npy", stack[0])
        np.savez_compressed(tmp_path / split / "zz.npz", stack[:2, ..., None])
    kinds = {
        f"{n}_{d}": v for d in "ab" for n, v in (("channels", 1), ("dtype", "uint16"))
    }
    dataset = open_dataset(DataSettings("folder", tmp_path, **kinds, paired=True))
    names = [f"trainA/volume/{page:04d}.tif" for page in (1, 2, 3)]
    more = ["trainA/zero.npy", "trainA/zz/0001.npz", "trainA/zz/0002.npz"]
    assert list(dataset.train_a.names) == [*names, *more]
    for index, page in enumerate((*stack, stack[0], *stack[:2])):
        np.testing.assert_array_equal(dataset.train_b[index][..., 0], page)
    before = fingerprint.fingerprint(dataset)
    stack[1, 2, 3] ^= 1
    path = tmp_path / "trainA" / "volume.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    dataset = open_dataset(DataSettings("folder", tmp_path, **kinds))
    changed = fingerprint.fingerprint(dataset)
    assert changed["train_a"]["sha256"] != before["train_a"]["sha256"]
    assert changed["train_b"] == before["train_b"]


def test_8_bit_arrays_are_pictures_too(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    for suffix in (".npy", ".npz"):
        data = measured.write(colour, suffix)
        np.testing.assert_array_equal(decode_image(data), colour)
        assert decode_image(data, channels=1).shape == (5, 6, 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_pngs_of_few_bits_are_read_as_stored(bits):
    values = [0, 1, 0, 1] if bits == 1 else [0, 1, 2, 3]
    pages = arrays.read_pages(grey_png(bits), kind_of(dtype="uint8", channels=1))
    assert pages[0, 0, :, 0].tolist() == values


def test_an_encrypted_file_is_refused_in_a_sentence():
    data = bytearray(npz(x=np.zeros((4, 4), np.uint8)))
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(header) + flags] |= 1
    with pytest.raises(UserError, match=r"image x cannot be decoded .*encrypted"):
        decode_image(bytes(data), name="x")
    with pytest.raises(UserError, match=r"image x cannot be decoded .*encrypted"):
        Decoder(pixels=kind_of())(bytes(data), "x")


def test_what_is_left_out_is_told_as_a_sentence(tmp_path, capsys):
    good = np.zeros((8, 8), np.uint16)
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        for name, values in (("good", good), ("bad", good.astype(np.float64))):
            np.save(tmp_path / split / f"{name}.npy", values)
    kinds = {"dtype_a": "uint16", "dtype_b": "uint16", "channels_a": 1, "channels_b": 1}
    settings = DataSettings("folder", tmp_path, on_corrupt="skip", **kinds)
    assert open_dataset(settings, quiet=True).train_a.names == ("trainA/good.npy",)
    assert "its values are float64, not uint16\n" in capsys.readouterr().err


def test_measured_values_made_of_transparent_pictures_stay_as_declared():
    photo = Photo(np.zeros((6, 8, 3), np.uint8), np.full((6, 8), 99, np.uint8))
    values = np.zeros((6, 8, 1), np.uint16)
    for suffix in ("png", "tif", "npy"):
        style = Style(suffix, pixels=kind_of(channels=1))
        assert batch.with_alpha(values, photo, style) is values
    picture = np.zeros((6, 8, 1), np.uint8)
    assert batch.with_alpha(picture, photo, Style()).shape == (6, 8, 4)


def test_what_has_one_channel_says_so():
    assert kind_of(channels=1).counted == "1 channel"
    with pytest.raises(UserError, match="65535 with 1 channel: choose one of png, tif"):
        Style("jpg", pixels=kind_of(channels=1))


@pytest.mark.parametrize(
    ("suffix", "package"), [("png", "imagecodecs"), ("tif", "tifffile")]
)
def test_a_missing_package_is_told_before_anything_is_translated(
    suffix, package, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=package):
        Style(suffix, pixels=kind_of(channels=1))
    Style(suffix)
    Style("npy", pixels=kind_of(channels=1))
