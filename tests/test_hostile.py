"""What strangers send: refused in a sentence or read, and nothing else happens."""

import io
import json
import random
import struct
import zipfile

import numpy as np
import pytest
from etils import epath
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from configs import streets
from cyclegan_jax import files
from cyclegan_jax.data import cycle_gan_tfds, decode
from cyclegan_jax.data.archives import Archive
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation import checkpoint
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.runs import (
    configuration,
    writer,
)
from cyclegan_jax.runs import (
    folder as run_folder,
)
from cyclegan_jax.runs.run import Run, open_experiment
from cyclegan_jax.translation.photos import open_photo

MANY = settings(
    max_examples=200,
    deadline=5000,  # Milliseconds for one example.
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def damage(draw, good):
    """Cut, flipped, inserted or overwritten bytes."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["cut", "flip", "insert", "huge"]))
        if kind == "cut":
            del data[at:]
        elif kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        else:
            data[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, b"\x7f" * 4]))
    return bytes(data)


def encoded(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_damaged_images(kind, tmp_path):
    good = encoded(kind)

    @MANY
    @given(damage(good))
    def check(data):
        try:
            image = decode.decode_image(data)
        except decode.UnreadableImage:
            return
        assert image.dtype == np.uint8
        assert image.size <= 3 * decode.MAX_PIXELS

    check()
    path = tmp_path / "a.png"

    @settings(MANY, max_examples=50)
    @given(damage(good))
    def translate(data):
        path.write_bytes(data)
        try:
            open_photo(path, 3)
        except decode.UnreadableImage:
            return

    translate()


def archive(names=("trainA/0.png", "trainB/0.png")):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, encoded("PNG"))
    return stream.getvalue()


def test_damaged_archives(tmp_path):
    path = tmp_path / "set.zip"

    @MANY
    @given(damage(archive()))
    def check(data):
        path.write_bytes(data)
        try:
            opened = Archive(path)
            for name in opened.names:
                decode.decode_image(opened.read(name), name=name)
        except UserError:
            return

    check()


@pytest.mark.parametrize(
    "name", ["../a.png", "/a.png", "x/../../a.png", "x\\..\\a.png", "C:\\a.png"]
)
def test_paths_out_of_an_archive(tmp_path, name):
    path = tmp_path / "set.zip"
    path.write_bytes(archive([name]).replace(b"C:/", b"C:\\"))
    with pytest.raises(UserError, match="unsafe path"):
        Archive(path)
    assert [p.name for p in tmp_path.iterdir()] == ["set.zip"]


def test_archive_that_lies_about_a_bomb(tmp_path):
    """100 MB of zeros that say that they are 100 bytes: no more are unpacked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(100_000_000))
    data = stream.getvalue().replace(
        struct.pack("<I", 100_000_000), struct.pack("<I", 100)
    )
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png"):
        Archive(tmp_path / "a.zip").read("a.png")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archive_that_would_be_unpacked_whole(kind, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", kind) as file:
        file.writestr("a.png", b"0")
    with pytest.raises(UserError, match=r"a\.png of .* is not stored or deflated"):
        Archive(tmp_path / "a.zip")


def test_a_prepared_set_that_names_a_class_of_its_own(tmp_path):
    features = {"featuresDict": {"features": {"image": {"pythonClassName": "evil.X"}}}}
    (tmp_path / "features.json").write_text(json.dumps(features))
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match=r"names the class evil\.X, which is not TFDS"):
        cycle_gan_tfds.open_prepared(tmp_path, {})


@pytest.mark.parametrize("name", ["a/../../../x.png", "/a/../../x.png", "..", "../.."])
def test_names_of_images_do_not_leave_the_gallery(name, tmp_path):
    gallery = checkpoint._Gallery(epath.Path(tmp_path / "evaluation"), "AtoB")
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    gallery.save(Batch([name], picture, picture))
    made = list(tmp_path.rglob("*.png"))
    assert len(made) == 2
    folder = tmp_path / "evaluation" / "AtoB"
    assert all(path.resolve().is_relative_to(folder) for path in made)


@pytest.fixture
def run(tmp_path):
    config = streets.get_config("smoke").to_dict()
    files.write_json(tmp_path / "config.json", config)
    return tmp_path


def test_any_json_as_config(run):
    @MANY
    @given(VALUES)
    def check(value):
        (run / "config.json").write_text(json.dumps(value))
        assume(not isinstance(value, dict) or configuration.flatten(value))
        with pytest.raises(UserError):
            open_experiment(run)

    check()


def test_any_value_of_a_setting(run):
    good = run_folder.read_config(run)
    names = sorted(configuration.flatten(good))

    @MANY
    @given(st.sampled_from(names), VALUES)
    def check(name, value):
        config = json.loads(json.dumps(good))
        *groups, last = name.split(".")
        part = config
        for group in groups:
            part = part[group]
        part[last] = value
        (run / "config.json").write_text(json.dumps(config))
        try:
            open_experiment(run)
        except UserError:
            return

    check()


def test_nested_too_deep(run):
    (run / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        run_folder.read_config(run)
    (run / "config.json").rename(run / "run.json")
    assert run_folder.read_about(run) == {}


def test_damaged_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    good = b"".join(b'{"step": %d, "d_a": 0.5}\n' % step for step in range(1, 9))

    @MANY
    @given(damage(good))
    def check(data):
        path.write_bytes(data)
        try:
            lines = writer.read_metrics(tmp_path)
        except UserError:
            return
        steps = [line["step"] for line in lines]
        assert all(isinstance(step, int) for step in steps)

    check()


def test_files_among_the_checkpoints(run):
    """Names that are no steps, and steps that are no checkpoints."""
    rng = random.Random(0)
    for name in ("12", "x", "-3", "007", "1e3", "9" * 30):
        folder = run / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "_METADATA").write_bytes(rng.randbytes(50))
    with pytest.raises(UserError):
        Run.load(run)
