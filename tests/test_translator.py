"""Translations: of any size, kind and number of pictures, whole and in tiles."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from configs import folder
from cyclegan_jax import files, images
from cyclegan_jax.core import networks
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.translation import files as translation
from cyclegan_jax.translation import tiling, video
from cyclegan_jax.translation.photos import open_photo
from cyclegan_jax.translation.translator import Translator, mirror_pad
from tests.oracle import cases

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two small ResNets whose weights came from PyTorch."""
    path = tmp_path_factory.mktemp("runs")
    from cyclegan_jax import torch_files

    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    files = {name: path / f"{name}.pth" for name in ("g_ab", "g_ba")}
    for file in files.values():
        torch_files.write(file, state)
    import_weights(files, path / "run", folder.get_config())
    return path / "run"


def picture(height, width, seed=0):
    """Smooth, with a dark half and a flat corner: no part is like the whole."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = 127 + 90 * np.sin(x / 9 + seed) * np.cos(y / 13)
    values = (waves + rng.normal(0, 9, (height, width)))[..., None] * [1, 0.8, 0.5]
    values[height // 2 :] *= 0.4
    values[: height // 4, : width // 4] = 7
    return np.clip(values, 0, 255).astype(np.uint8)


def test_agrees_with_pytorch(run):
    """By way of the run folder: what PyTorch computed from the same weights."""
    case = cases.load_case("resnet_instance")
    loaded = Run.load(run)
    actual = loaded.translation("AtoB").apply(loaded.variables, case["input"], None)
    scale = np.max(np.abs(case["output"]))
    np.testing.assert_allclose(actual, case["output"], rtol=0, atol=1e-5 * scale)
    pixels = images.to_uint8(case["input"])
    exact = np.allclose(images.to_float(pixels), case["input"], atol=1e-6)
    assert exact  # The golden images have 8-bit levels.
    off = Translator.load(run)(pixels).astype(int) - images.to_uint8(case["output"])
    assert np.max(np.abs(off)) <= 1


def test_lists_batches_and_single_pictures_agree(run):
    translator = Translator.load(run)
    some = [picture(24, 36, 1), picture(20, 20, 2), picture(24, 36, 3)]
    listed = translator(some)
    assert [x.shape for x in listed] == [x.shape for x in some]
    for one, together in zip(some, listed, strict=True):
        np.testing.assert_array_equal(translator(one), together)
    batch = translator(np.stack([some[0], some[2]]))
    np.testing.assert_array_equal(batch, np.stack([listed[0], listed[2]]))
    assert translator([]) == []


def test_kinds_of_pictures(run):
    translator = Translator.load(run)
    gray = picture(16, 16)[..., 0]
    colour = np.repeat(gray[..., None], 3, axis=-1)
    expected = translator(colour)
    for same in (gray, gray[..., None], np.dstack([colour, gray])):
        np.testing.assert_array_equal(translator(same), expected)
    with pytest.raises(TypeError, match="must be uint8"):
        translator(colour.astype(np.float32))


@pytest.mark.parametrize("shape", [(13, 18), (1, 5), (4, 4), (17, 1)])
def test_any_size_is_kept(run, shape):
    """Mirrored up to a multiple of 4, and cut back."""
    translator = Translator.load(run)
    small = picture(*shape)
    height, width = shape
    padded = mirror_pad(small, -height % 4, -width % 4)
    result = translator(small)
    assert result.shape == small.shape
    np.testing.assert_array_equal(result, translator(padded)[:height, :width])


def test_resize_as_published(run):
    """Bicubic to the square of the training, as the authors test."""
    photo = picture(100, 140)
    square = np.asarray(Image.fromarray(photo).resize((256, 256), Image.BICUBIC))
    result = Translator.load(run, size="resize")(photo)
    np.testing.assert_array_equal(result, Translator.load(run)(square))
    assert result.shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("norm", "blocks"), [("instance", 2), ("instance_affine", 1), ("batch", 1)]
)
def test_tiles_equal_the_whole(norm, blocks):
    """Exactly, but for rounding; and so there can be no seam."""
    module = networks.generator(
        f"resnet_{blocks}blocks", width=4, norm=norm, init_gain=0.2
    )
    photo = picture(204, 280)
    whole = images.to_float(photo)[None]
    variables = module.init(jax.random.key(0), whole[:, :64, :64])
    expected = np.asarray(module.apply(variables, whole)[0])
    size = 2 * tiling.halo(blocks) + 64
    actual = tiling.TiledGenerator(module, size)(variables, photo)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-5)
    # Each tile by itself, as usual, is far off for instance norm.
    alone = np.asarray(module.apply(variables, whole[:, :128, :128])[0])
    off = np.max(np.abs(alone[:64, :64] - expected[:64, :64]))
    assert off > 0.05 if norm != "batch" else off < 1e-5


def test_tiles_cover_every_pixel_once():
    for height, width, size, margin in ((200, 300, 128, 24), (64, 64, 128, 24)):
        seen = np.zeros((height, width), int)
        for tile in tiling.tiles(height, width, size, margin):
            y0, y1, x0, x1 = tile.core
            seen[tile.top + y0 : tile.top + y1, tile.left + x0 : tile.left + x1] += 1
        assert np.all(seen == 1)


def test_halo_is_how_far_the_network_sees():
    """By gradient: one output pixel depends on nothing beyond, and on nearly all."""
    blocks, side = 1, 96
    module = networks.generator("resnet_1blocks", width=8, norm="none", init_gain=0.1)
    x = np.random.default_rng(0).normal(size=(1, side, side, 3)).astype(np.float32)
    variables = module.init(jax.random.key(1), x)
    grad = jax.grad(lambda x: module.apply(variables, x)[0, 48, 48].sum())(x)
    touched = np.flatnonzero(np.abs(np.asarray(grad)).sum(axis=(0, 2, 3)))
    reach = max(48 - touched[0], touched[-1] - 48)
    assert tiling.halo(blocks) - 8 <= reach <= tiling.halo(blocks)


def test_tiles_of_a_network_that_recomputes_its_blocks():
    module = networks.generator("resnet_1blocks", width=4, remat=True)
    photo = picture(120, 160)
    whole = images.to_float(photo)[None]
    variables = module.init(jax.random.key(0), whole)
    actual = tiling.TiledGenerator(module, 112)(variables, photo)
    np.testing.assert_allclose(actual, module.apply(variables, whole)[0], atol=5e-5)


def test_output_that_is_not_finite(run):
    loaded = Run.load(run)
    bad = jax.tree.map(lambda x: x * np.nan, loaded.variables["g_ab"])
    broken = dataclasses.replace(loaded, variables={"g_ab": bad})
    with pytest.raises(UserError, match="is not finite"):
        Translator(broken)(picture(8, 8))


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


def test_arrays_of_jax_and_empty_batches(run):
    translator = Translator.load(run)
    some = np.stack([picture(8, 12, seed) for seed in range(3)])
    expected = translator(some)
    np.testing.assert_array_equal(translator(jax.numpy.asarray(some)), expected)
    np.testing.assert_array_equal(translator(jax.numpy.asarray(some[0])), expected[0])
    assert translator(some[:0]).shape == (0, 8, 12, 3)


def test_what_cannot_be_tiled():
    with pytest.raises(UserError, match="only ResNet"):
        tiling.TiledGenerator(networks.generator("unet_32"), 512)
    with pytest.raises(UserError, match="multiple of 4 from 112 on"):
        tiling.TiledGenerator(networks.generator("resnet_1blocks"), 100)


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


def test_transparency(tmp_path):
    """Kept at another size, too; a network of four channels has one of its own."""
    clear = np.dstack([picture(6, 8), np.full((6, 8), 99, np.uint8)])
    files.save_png(tmp_path / "clear.png", clear)
    photo = open_photo(tmp_path / "clear.png", 3)
    for channels, alpha in ((3, 99), (1, 99), (4, 7)):
        translation._save(
            tmp_path / "out.png", np.full((12, 16, channels), 7, np.uint8), photo
        )
        saved = np.asarray(Image.open(tmp_path / "out.png").convert("RGBA"))
        np.testing.assert_array_equal(saved, np.full((12, 16, 4), (7, 7, 7, alpha)))
    photo = open_photo(tmp_path / "clear.png", 4)
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


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("sound", ["aac", "pcm_s16le"])
def test_video(run, tmp_path, sound):
    """As many frames, the same rate, even sides, and the sound."""
    source, target = tmp_path / "film.mkv", tmp_path / "out" / "film.mp4"
    quiet = ["ffmpeg", "-loglevel", "error", "-y"]
    made = ["-f", "lavfi", "-i", "testsrc=size=31x20:rate=5:duration=2"]
    made += ["-f", "lavfi", "-i", "sine=duration=2", "-c:a", sound]
    subprocess.run([*quiet, *made, str(source)], check=True)
    assert translation.translate([str(source)], target.parent, workdir=run) == 0
    probe = ["ffprobe", "-v", "error", "-of", "json", "-count_frames"]
    probe += ["-show_entries", "stream=codec_type,width,height,nb_read_frames"]
    result = subprocess.run([*probe, str(target)], capture_output=True, check=True)
    streams = {s["codec_type"]: s for s in json.loads(result.stdout)["streams"]}
    assert set(streams) == {"video", "audio"}
    assert streams["video"]["nb_read_frames"] == "10"
    assert (streams["video"]["width"], streams["video"]["height"]) == (32, 20)
    assert [p.name for p in target.parent.iterdir()] == ["film.mp4"]
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    data = source.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    for name in ("bad.mp4", "cut.mkv"):
        bad = [str(tmp_path / name)]
        assert translation.translate(bad, target.parent, workdir=run) == 1
    assert [p.name for p in target.parent.iterdir()] == ["film.mp4"]


def raw_yuv(path):
    """The mean Y, Cb and Cr of a video, as stored."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    planes = np.split(np.frombuffer(raw, np.uint8), [len(raw) * 4 // 6, -len(raw) // 6])
    return [plane.mean() for plane in planes]


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize(
    ("size", "tagged", "red", "blue", "name"),
    [
        ("1280x720", False, 0.2126, 0.0722, "bt709"),
        ("1280x720", True, 0.2126, 0.0722, "bt709"),
        ("64x32", False, 0.299, 0.114, "smpte170m"),
    ],
)
def test_colours_of_videos(tmp_path, size, tagged, red, blue, name):
    """Against the standards' equations: luma from the weights of red and blue."""
    source, target = tmp_path / "film.mp4", tmp_path / "out.mp4"
    colour = np.array([200.0, 60.0, 90.0])
    made = ["-f", "lavfi", "-i", f"color=0xC83C5A:size={size}:rate=1:duration=1"]
    change = f"format=rgb24,scale=out_color_matrix={name},format=yuv420p,setsar=64/45"
    made += ["-vf", change]
    made += ["-colorspace", name if tagged else "unknown"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *made, str(source)], check=True)
    seen = []

    def keep(frames):
        seen.extend(frames)
        return frames

    video.translate(source, target, keep)
    np.testing.assert_allclose(seen[0].mean((0, 1)), colour, atol=5)  # 8 bits of YUV.
    luma = colour @ (red, 1 - red - blue, blue)
    expected = [
        16 + 219 * luma / 255,
        128 + 112 * (colour[2] - luma) / (1 - blue) / 255,
        128 + 112 * (colour[0] - luma) / (1 - red) / 255,
    ]
    np.testing.assert_allclose(raw_yuv(target), expected, atol=2.5)
    probe = ["ffprobe", "-v", "error", "-of", "csv=p=0"]
    probe += ["-show_entries", "stream=sample_aspect_ratio,color_space", str(target)]
    assert subprocess.check_output(probe, text=True).strip() == f"64:45,{name}"


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_video_of_a_changing_rate(run, tmp_path):
    """About as many frames as there are, not as many as its clock has ticks."""
    source = tmp_path / "phone.mp4"
    made = ["-f", "lavfi", "-i", "testsrc2=size=32x32:rate=30:duration=1"]
    made += ["-vf", "settb=1/90000,setpts=PTS+floor(random(1)*2500)"]
    made += ["-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-bf", "0"]
    made += ["-video_track_timescale", "90000", str(source)]
    subprocess.run(["ffmpeg", "-loglevel", "error", *made], check=True)
    assert translation.translate([str(source)], tmp_path / "out", workdir=run) == 0
    probe = ["ffprobe", "-v", "error", "-count_frames", "-of", "csv=p=0"]
    probe += ["-show_entries", "stream=nb_read_frames", str(tmp_path / "out/phone.mp4")]
    frames = subprocess.run(probe, capture_output=True, text=True, check=True).stdout
    assert 25 <= int(frames.strip().rstrip(",")) <= 36


def test_ffmpeg_is_missing(run, tmp_path, monkeypatch):
    (tmp_path / "film.mp4").write_bytes(b"")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="sudo apt install ffmpeg"):
        translation.translate([str(tmp_path)], tmp_path / "out", workdir=run)


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
