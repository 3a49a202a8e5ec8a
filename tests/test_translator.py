"""Translations of arrays: of any size, kind and number, whole and in tiles."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import images
from cyclegan_jax.core import networks
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import memory, spread, xla_options
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation import tiling
from cyclegan_jax.translation.translator import Translator, mirror_pad
from tests import slow_but
from tests.oracle import cases
from tests.translating import make_run, picture


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


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
    ("norm", "blocks", "options"),
    [
        pytest.param("instance", 2, {}, marks=pytest.mark.slow),
        ("instance_affine", 1, {}),
        ("batch", 1, {}),
        pytest.param(
            *("instance", 1, {"antialias": True, "antialias_up": True}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_tiles_equal_the_whole(norm, blocks, options):
    """Exactly, but for rounding; and so there can be no seam."""
    module = networks.generator(
        f"resnet_{blocks}blocks", width=4, norm=norm, init_gain=0.2, **options
    )
    photo = picture(204, 280)
    whole = images.to_float(photo)[None]
    variables = module.init(jax.random.key(0), whole[:, :64, :64])
    expected = np.asarray(module.apply(variables, whole)[0])
    size = 2 * tiling.halo(module) + 64
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


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("antialias_up", slow_but([True], [False, True]))
def test_halo_is_how_far_the_network_sees(antialias, antialias_up):
    """By gradient: one output pixel depends on nothing beyond, and on nearly all."""
    options = {"antialias": antialias, "antialias_up": antialias_up}
    module = networks.generator(
        "resnet_1blocks", width=8, norm="none", init_gain=0.1, **options
    )
    side = 96
    x = np.random.default_rng(0).normal(size=(1, side, side, 3)).astype(np.float32)
    variables = module.init(jax.random.key(1), x)

    def pixels(x):  # Tiles begin and end with four of them.
        return module.apply(variables, x)[0, 48:52, 48].sum()

    touched = np.abs(np.asarray(jax.grad(pixels)(x))).sum(axis=(0, 2, 3))
    touched = np.flatnonzero(touched)
    reach = max(48 - touched[0], touched[-1] - 51)
    assert tiling.halo(module) - 8 <= reach <= tiling.halo(module)


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


def test_programs_are_bounded_and_the_newest_kept():
    """As many as fit are compiled once; an older one again when it comes back."""
    traced = []

    def double(x):
        traced.append(x.shape)
        return 2 * x

    programs = spread.Programs(double)
    lengths = range(1, spread.KEPT + 1)
    for length in (*lengths, *lengths):
        x = np.arange(length, dtype=np.float32)
        np.testing.assert_array_equal(programs(x.shape, x), 2 * x)
    assert len(traced) == len(lengths)
    for length in (100, 2, 1, 2):  # The first goes, then comes back; the second stays.
        programs((length,), np.zeros(length, np.float32))
    assert traced[len(lengths) :] == [(100,), (1,)]


@pytest.mark.parametrize(("by_image", "expected"), [(False, [2, 1]), (True, [1])])
def test_images_that_a_device_computes_at_a_time(by_image, expected, monkeypatch):
    """On what XLA's options depend; the last image may be repeated."""
    asked = []

    def options(platform, images):
        asked.append((platform, images))
        return {}

    monkeypatch.setattr(xla_options, "of_networks", options)
    double = spread.Spread(lambda variables, batch: 2 * batch, by_image=by_image)
    for size in (2 * double.count - 1, 1):
        batch = np.ones((size, 4, 4, 3), np.float32)
        np.testing.assert_array_equal(double(double.place({}), batch), 2 * batch)
    assert asked == [("cpu", images) for images in expected]


def test_memory_is_looked_at_before_a_cpu_runs(run, monkeypatch):
    """Linux would end the program, and XLA abort it."""
    little = memory.Available(10_000.0, "the container")
    monkeypatch.setattr(memory, "available", lambda: little)
    with pytest.raises(MemoryError, match="the container leaves"):
        Translator.load(run)(picture(64, 64))
