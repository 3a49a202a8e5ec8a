"""Translations of files: batches, formats, names, and what is left out."""

import io
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image, ImageCms

import configs.folder
from cyclegan_jax import files
from cyclegan_jax.data import formats
from cyclegan_jax.errors import UserError
from cyclegan_jax.translation import fallback
from cyclegan_jax.translation import files as translation
from cyclegan_jax.translation.photos import open_photo
from cyclegan_jax.translation.translator import Translator
from tests.translating import make_run, picture

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


def test_nothing_is_overwritten(run, tmp_path):
    """Neither inputs, nor results by other results."""
    for name in ("a.png", "cycle/a.png", "grid/sheet_000.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture(8, 8)).save(tmp_path / name)
    before = (tmp_path / "cycle/a.png").read_bytes()
    inputs = [str(tmp_path / "a.png"), str(tmp_path / "cycle/a.png")]
    for output, options in (
        (tmp_path, {"cycle": True}),
        (tmp_path / "out", {"cycle": True}),
        (tmp_path / "out", {"grid": True}),
    ):
        given = inputs if output == tmp_path else [str(tmp_path)]
        with pytest.raises(UserError, match="would be overwritten"):
            translation.translate(given, output, workdir=run, **options)
    assert (tmp_path / "cycle/a.png").read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_output_inside_of_the_input_and_links(run, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    Image.fromarray(picture(8, 8)).save(real / "x.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(real)
    (real / "loop").symlink_to(real)
    out = tmp_path / "in" / "out"
    for _ in range(2):
        assert translation.translate([str(tmp_path / "in")], out, workdir=run) == 0
        assert [p.relative_to(out).as_posix() for p in out.rglob("*.png")] == [
            "link/x.png"
        ]


def make_inputs(folder_):
    """A picture of each kind, in a folder with a folder in it."""
    (folder_ / "more").mkdir(parents=True)
    photo = Image.fromarray(picture(20, 28))
    photo.save(folder_ / "plain.png")
    photo.save(folder_ / "plain.bmp")  # The same name but for the ending.
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter.
    photo.save(folder_ / "more" / "turned.jpg", exif=exif, quality=100)
    clear = photo.convert("RGBA")
    clear.putalpha(99)
    clear.save(folder_ / "more" / "clear.png")
    deep = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(deep).save(folder_ / "sixteen.png")


def test_folders(run, tmp_path, capsys):
    make_inputs(tmp_path / "in")
    out = tmp_path / "out"
    status = translation.translate(
        [str(tmp_path / "in")], out, workdir=run, cycle=True, grid=True
    )
    assert status == 0
    assert "Translated 5 of 5 files AtoB" in capsys.readouterr().out
    names = {p.relative_to(out).as_posix() for p in out.rglob("*.png")}
    some = {"plain.png", "plain_png.png", "sixteen.png"}
    some |= {"more/turned.png", "more/clear.png"}
    assert names == some | {f"cycle/{n}" for n in some} | {"grid/sheet_000.png"}
    assert Image.open(out / "more/turned.png").size == (20, 28)  # Upright.
    clear = np.asarray(Image.open(out / "more/clear.png"))
    assert np.all(clear[..., 3] == 99)
    plain = np.asarray(Image.open(out / "plain.png"))
    translator = Translator.load(run)
    np.testing.assert_array_equal(plain, translator(picture(20, 28)))
    np.testing.assert_array_equal(clear[..., :3], plain)
    back = np.asarray(Image.open(out / "cycle/plain.png"))
    np.testing.assert_array_equal(back, Translator.load(run, "BtoA")(plain))


def test_transparency(run, tmp_path, capsys):
    """Kept at another size, too; where the format has none, that is said."""
    clear = np.dstack([picture(6, 8), np.full((6, 8), 99, np.uint8)])
    files.save_png(tmp_path / "clear.png", clear)
    one, out = [str(tmp_path / "clear.png")], tmp_path / "out"
    assert translation.translate(one, out, workdir=run, size="resize") == 0
    saved = np.asarray(Image.open(out / "clear.png"))
    assert saved.shape == (256, 256, 4)
    assert np.all(saved[..., 3] == 99)
    assert "lost transparency" not in capsys.readouterr().out
    assert translation.translate(one, out, workdir=run, image_format="jpg") == 0
    assert Image.open(out / "clear.jpg").mode == "RGB"
    assert "1 lost transparency: jpg has none." in capsys.readouterr().out
    photo = open_photo(tmp_path / "clear.png", 4)  # A network's own fourth channel.
    np.testing.assert_array_equal(photo.pixels, clear)
    assert photo.alpha is None


def test_orientations(tmp_path):
    """All eight, against Pillow's own."""
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("png", "tif"):
            path = tmp_path / f"{orientation}.{kind}"
            Image.fromarray(picture(6, 9)).save(path, exif=exif)
            expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
            np.testing.assert_array_equal(open_photo(path, 3).pixels, expected)
    for damage in (b"Exif\0\0XX", b"Exif\0\0II*\0"):
        Image.fromarray(picture(6, 9)).save(tmp_path / "bad.png", exif=damage)
        pixels = open_photo(tmp_path / "bad.png", 3).pixels
        np.testing.assert_array_equal(pixels, picture(6, 9))


def test_corrupt_files_are_left_out(run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(8, 8)).save(tmp_path / "in/good.png")
    (tmp_path / "in/bad.png").write_bytes(b"no picture")
    pattern = str(tmp_path / "in/*.png")
    assert translation.translate([pattern], tmp_path / "out", workdir=run) == 1
    captured = capsys.readouterr()
    assert "bad.png cannot be decoded" in captured.err
    assert "Translated 1 of 2" in captured.out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.png"]


def test_what_is_left_out_is_named_and_counted(run, tmp_path, capsys, monkeypatch):
    """By reason; files of the system are only counted, and cost no status."""
    monkeypatch.delitem(formats._UNAVAILABLE, ".heic", raising=False)
    monkeypatch.setitem(formats._UNAVAILABLE, ".heic", "HEIF")
    suffixes = tuple(x for x in formats.IMAGE_SUFFIXES if x != ".heic")
    monkeypatch.setattr(formats, "IMAGE_SUFFIXES", suffixes)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(8, 8)).save(tmp_path / "in" / "good.png")
    Image.fromarray(picture(8, 8)).save(tmp_path / "in" / "no_ending", format="jpeg")
    (tmp_path / "in" / "Thumbs.db").write_bytes(b"junk")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"junk")
    one, out = [str(tmp_path / "in")], tmp_path / "out"
    assert translation.translate(one, out, workdir=run) == 0
    captured = capsys.readouterr()
    assert "Translated 2 of 2 files" in captured.out
    assert "Left out: 2 hidden" in captured.out
    assert (out / "no_ending.png").exists()
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "in" / "notes.txt").write_text("notes")
    (tmp_path / "in" / "IMG_1.HEIC").write_bytes(b"heic")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    assert translation.translate(one, out, workdir=run) == 1
    captured = capsys.readouterr()
    assert "Translated 2 of 6 files" in captured.out
    for name in ("gone.png", "notes.txt", "IMG_1.HEIC", "bad.png"):
        assert f"{name}" in captured.err
        assert f"{name})" in captured.out
    some = [str(tmp_path / "in" / "IMG_1.HEIC")]
    with pytest.raises(UserError, match=r"no picture.*pillow-heif.*IMG_1\.HEIC"):
        translation.translate(some, tmp_path / "none", workdir=run)
    assert not (tmp_path / "none").exists()


def test_avif_and_other_formats(run, tmp_path):
    """Whatever Pillow writes and reads again gives the picture that it reads."""
    (tmp_path / "in").mkdir()
    suffixes = ("avif", "jfif", "webp", "pgm", "jp2", "gif")
    for suffix in suffixes:
        Image.fromarray(picture(8, 12)).save(tmp_path / "in" / f"{suffix}.{suffix}")
    out = tmp_path / "out"
    assert translation.translate([str(tmp_path / "in")], out, workdir=run) == 0
    translator = Translator.load(run)
    for suffix in suffixes:
        with Image.open(tmp_path / "in" / f"{suffix}.{suffix}") as image:
            expected = translator(np.asarray(image.convert("RGB")))
        actual = np.asarray(Image.open(out / f"{suffix}.png"))
        np.testing.assert_array_equal(actual, expected)


def test_animations(run, tmp_path, capsys):
    """Each frame as by itself, as long as before; not where there is no place."""
    frames = [picture(8, 12, seed) for seed in range(3)]
    first, *others = [Image.fromarray(frame) for frame in frames]
    moving = {"save_all": True, "append_images": others, "loop": 0}
    moving["duration"] = [100, 250, 70]
    first.save(tmp_path / "a.gif", **moving)
    first.save(tmp_path / "b.webp", lossless=True, **moving)
    first.save(tmp_path / "c.png", **moving)
    some = [str(tmp_path / name) for name in ("a.gif", "b.webp", "c.png")]
    out = tmp_path / "out"
    assert translation.translate(some, out, workdir=run, cycle=True) == 0
    translator, back = Translator.load(run), Translator.load(run, "BtoA")
    for name in ("b", "c"):
        expected = translator(frames)
        for folder, values in (("", expected), ("cycle", back(expected))):
            with Image.open(out / folder / f"{name}.png") as image:
                assert image.n_frames == 3
                for number, value in enumerate(values):
                    image.seek(number)
                    np.testing.assert_array_equal(image.convert("RGB"), value)
                    assert image.info["duration"] == moving["duration"][number]
    assert Image.open(out / "a.png").n_frames == 3
    for suffix in ("gif", "webp"):
        target = tmp_path / f"moving.{suffix}"
        assert translation.translate(some[:1], target, workdir=run) == 0
        assert Image.open(target).n_frames == 3
    capsys.readouterr()
    assert translation.translate(some[:1], out, workdir=run, image_format="jpg") == 1
    captured = capsys.readouterr()
    assert "a.gif: jpg files cannot be animated" in captured.err
    assert "Translated 0 of 1" in captured.out


def test_pages_are_not_frames(run, tmp_path, capsys):
    first, second = (Image.fromarray(picture(8, 8, seed)) for seed in range(2))
    first.save(tmp_path / "scan.tif", save_all=True, append_images=[second])
    one = [str(tmp_path / "scan.tif")]
    assert translation.translate(one, tmp_path / "out", workdir=run) == 0
    assert "scan.tif has 2 pages" in capsys.readouterr().err
    actual = np.asarray(Image.open(tmp_path / "out" / "scan.png"))
    np.testing.assert_array_equal(actual, Translator.load(run)(np.asarray(first)))


def test_format_and_name_of_the_output(run, tmp_path):
    """By `image_format`, or by the name of a file that is to be written."""
    source = tmp_path / "a.png"
    Image.fromarray(picture(40, 40)).save(source)
    one = [str(source)]
    expected = Translator.load(run)(picture(40, 40)).astype(int)
    for name, kind in {"x.jpg": "JPEG", "y.webp": "WEBP", "z.TIF": "TIFF"}.items():
        assert translation.translate(one, tmp_path / "out" / name, workdir=run) == 0
        with Image.open(tmp_path / "out" / name) as image:
            assert image.format == kind
            assert image.size == (40, 40)
            if kind != "WEBP":  # Which has half as many pixels of colour.
                assert np.mean(np.abs(np.asarray(image) - expected)) < 4
    sizes = []
    for quality in (10, 95):
        out = tmp_path / str(quality)
        options = {"image_format": "jpg", "quality": quality}
        assert translation.translate(one, out, workdir=run, **options) == 0
        sizes.append((out / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1]
    (tmp_path / "dots.png").mkdir()  # A folder, whatever it is called.
    assert translation.translate(one, tmp_path / "dots.png", workdir=run) == 0
    assert (tmp_path / "dots.png" / "a.png").exists()
    two = [*one, str(tmp_path / "dots.png" / "a.png")]
    for message, given, options in (
        ("the name of one file, and there are 2", two, {}),
        ("cannot be written as .heic", one, {"output": tmp_path / "x.heic"}),
        ("cannot be written as .NEF", one, {"output": tmp_path / "x.NEF"}),
        ("cannot be written as .svg", one, {"output": tmp_path / "x.svg"}),
        ("cannot be written as .mp4", one, {"output": tmp_path / "x.mp4"}),
        ("ends in .png", one, {"image_format": "png"}),
        ("format is 'psd'; it can be png", one, {"image_format": "psd"}),
        ("quality is for jpg", one, {"output": tmp_path / "q", "quality": 5}),
        ("quality is 101; it can be 1 to 100", one, {"quality": 101}),
    ):
        arguments = {"output": tmp_path / "new.jpg", "workdir": run} | options
        with pytest.raises(UserError, match=message):
            translation.translate(given, **arguments)


def test_one_name_twice_keeps_apart(run, tmp_path):
    """Also where only letter case differs, or how accents are written."""
    names = ("a/x.png", "b/x.png", "c/X.PNG", "d/caf\u00e9.png", "e/cafe\u0301.png")
    for seed, name in enumerate(names):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(picture(8, 8, seed)).save(tmp_path / name)
    out = tmp_path / "out"
    some = [str(tmp_path / name) for name in names]
    assert translation.translate([*some, some[0]], out, workdir=run) == 0
    assert len(list(out.iterdir())) == len(names)


def test_profile_and_exif(run, tmp_path):
    """Colours become sRGB, and say so; what describes the picture stays."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 20}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    linear = ImageCms.createProfile("sRGB")
    profile = bytearray(ImageCms.ImageCmsProfile(linear).tobytes())
    red, green = profile.index(b"rXYZ", 128), profile.index(b"gXYZ", 128)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    image = Image.fromarray(picture(8, 12))
    image.save(tmp_path / "a.png", exif=exif, icc_profile=bytes(profile))
    one = [str(tmp_path / "a.png")]
    swapped = np.rot90(picture(8, 12)[..., [1, 0, 2]], -1)
    expected = Translator.load(run)(np.ascontiguousarray(swapped)).astype(int)
    for suffix in ("png", "jpg", "webp", "tif", "avif"):
        target = tmp_path / "out" / f"a.{suffix}"
        assert translation.translate(one, target, workdir=run) == 0
        with Image.open(target) as result:
            kept = result.getexif()
            assert kept.get(0x0112, 1) == 1
            assert kept[0x010F] == "Maker"
            assert kept.get_ifd(0x8769) == {0x9003: "2020:01:02 03:04:05"}
            assert kept.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)
            written = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
            assert "sRGB" in ImageCms.getProfileDescription(written)
            if suffix in ("png", "tif"):
                off = np.abs(np.asarray(result) - expected)
                assert off.max() <= 12  # The conversion rounds, too.
                assert off.mean() < 1


def test_skipping_what_is_there(run, tmp_path, capsys):
    """What has a translation that is not older; the rest is done."""
    for name in "abc":
        Image.fromarray(picture(8, 8)).save(tmp_path / f"{name}.png")
    some = [str(tmp_path / f"{name}.png") for name in "abc"]
    out = tmp_path / "out"
    translation.translate(some[:2], out, workdir=run)
    for path in out.iterdir():
        path.write_bytes(b"kept")
    os.utime(out / "a.png", (1, 1))  # Older than its input.
    capsys.readouterr()
    options = {"workdir": run, "skip_existing": True}
    assert translation.translate(some, out, **options) == 0
    text = capsys.readouterr().out
    assert "Translated 2 of 3 files" in text
    assert "1 were there already" in text
    kept = [path.name for path in out.iterdir() if path.read_bytes() == b"kept"]
    assert kept == ["b.png"]
    with pytest.raises(UserError, match=r"grid.*skip_existing"):
        translation.translate(some, out, grid=True, **options)


def no_memory_for(pixels, monkeypatch, *, tiles=True):
    """Makes translators run out of memory as XLA does, from a size on."""
    whole = Translator._run_batch

    def run_batch(self, batch):
        in_tiles = tiles and self._tiled is not None
        if batch[0].size > 3 * pixels and not in_tiles:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return whole(self, batch)

    monkeypatch.setattr(Translator, "_run_batch", run_batch)


def test_too_large_for_the_memory(run, tmp_path, capsys, monkeypatch):
    """In tiles by itself; where those do not fit either, the others are done."""
    monkeypatch.setattr(fallback, "_TILES", (4096, 128))
    sizes = {"a": (20, 20), "b": (160, 132), "c": (24, 20)}
    for name, size in sizes.items():
        Image.fromarray(picture(*size)).save(tmp_path / f"{name}.png")
    some = [str(tmp_path / f"{name}.png") for name in sizes]
    expected = Translator.load(run)(picture(160, 132)).astype(int)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        no_memory_for(100 * 100, patch)
        assert translation.translate(some, out, workdir=run) == 0
    assert "1 went in tiles" in capsys.readouterr().out
    assert np.max(np.abs(np.asarray(Image.open(out / "b.png")) - expected)) <= 1
    with monkeypatch.context() as patch:
        no_memory_for(100 * 100, patch, tiles=False)
        assert translation.translate(some, tmp_path / "two", workdir=run) == 1
    captured = capsys.readouterr()
    assert "b.png: out of memory with 132x160 pixels" in captured.err
    assert "Translated 2 of 3" in captured.out
    assert "1 too large for the memory" in captured.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_nothing_half_written(run, tmp_path, monkeypatch, number):
    """What is done stays; nothing else is in the folder."""
    for name in "ab":
        Image.fromarray(picture(8, 8)).save(tmp_path / f"{name}.png")
    some = [str(tmp_path / f"{name}.png") for name in "ab"]
    out, replace = tmp_path / "out", type(tmp_path).replace
    calls = []

    def stop(self, target):
        calls.append(target)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
        return replace(self, target)

    monkeypatch.setattr(type(epath.Path(out)), "replace", stop)
    # Whoever started the tests may ignore it, as nohup does.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    outer = signal.signal(number, usual)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)) as raised:
            translation.translate(some, out, workdir=run)
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, outer)
    if number != signal.SIGINT:
        assert raised.value.code == 128 + number
    assert [path.name for path in out.iterdir()] == ["a.png"]


def test_what_cannot_be_written(run, tmp_path, capsys):
    """One name that cannot be is one file; a full disk is the end."""
    for name in "ab":
        Image.fromarray(picture(8, 8)).save(tmp_path / f"{name}.png")
    some = [str(tmp_path / f"{name}.png") for name in "ab"]
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    assert translation.translate(some, tmp_path / "out", workdir=run) == 1
    assert "Translated 1 of 2" in capsys.readouterr().out
    assert (tmp_path / "out" / "b.png").is_file()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "translate.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_command(run, tmp_path):
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    result = command(f"--workdir={run}", f"--output={out}", tmp_path / "a.png")
    assert result.returncode == 0, result.stderr
    assert (out / "a.png").exists()


def test_mistakes(run, tmp_path):
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.png")
    photo, out = str(tmp_path / "a.png"), tmp_path / "out"
    (tmp_path / "file").write_text("")
    for message, arguments in {
        "name pictures": {"inputs": []},
        "there is no nowhere.png": {"inputs": ["nowhere.png"]},
        "direction 'AB' is not": {"direction": "AB"},
        "has no checkpoint of step 7, but of 0": {"step": 7},
        "holds no run": {"workdir": tmp_path},
        "size is 'big'; it can be keep": {"size": "big"},
        "would be overwritten": {"output": tmp_path},
        "cannot be written to": {"output": tmp_path / "file" / "x"},
    }.items():
        arguments = {"inputs": [photo], "output": out, "workdir": run} | arguments
        with pytest.raises(UserError, match=message):
            translation.translate(**arguments)
    assert not out.exists()
    result = command("--workdir=nowhere", f"--output={out}", photo)
    assert result.returncode == 2
    assert result.stderr == (
        "error: nowhere holds no run (there is no config.json in it);"
        " name the folder that train.py wrote to.\n"
    )


def test_pictures_are_read_as_in_training(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = picture(20, 28)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    frames = [Image.fromarray(picture(20, 28, seed)) for seed in range(2)]
    frames[0].save(
        tmp_path / "b.webp", save_all=True, append_images=frames[1:], exif=exif
    )
    config = configs.folder.get_config()
    for as_stored, size, orientation in ((False, (20, 28), 1), (True, (28, 20), 6)):
        config.data.as_stored = as_stored
        out = tmp_path / str(as_stored)
        workdir = make_run(out, config)
        inputs = [str(tmp_path / "a.png"), str(tmp_path / "b.webp")]
        assert translation.translate(inputs, out, workdir=workdir) == 0
        for name in ("a.png", "b.png"):
            result = Image.open(out / name)
            assert (result.size, result.getexif().get(0x0112, 1)) == (size, orientation)
        told = "config.data.as_stored" in capsys.readouterr().out
        assert told == as_stored
    expected = Translator.load(workdir)(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "a.png")), expected)
