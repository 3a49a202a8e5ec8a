"""A translation that is stopped leaves what it has finished, and nothing else."""

import os
import signal

import numpy as np
import pytest
from etils import epath
from PIL import Image

from cyclegan_jax import files
from cyclegan_jax.translation import fallback, video_output
from cyclegan_jax.translation import files as translation
from tests import buckets
from tests.test_videos import gray_frames, make_film
from tests.translating import make_run, picture


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A run, and one file of each kind."""
    folder = tmp_path_factory.mktemp("stopping")
    make_run(folder)
    frames = [Image.fromarray(picture(16, 16, seed)) for seed in range(3)]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "still.png")
    make_film(folder / "film.mp4", gray_frames(12, 16, 16))
    return folder


@pytest.fixture
def with_usual_signals():
    """Whoever started the tests may ignore them, as nohup does."""
    usual = {signal.SIGINT: signal.default_int_handler}
    usual |= dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL)
    outer = {number: signal.signal(number, how) for number, how in usual.items()}
    yield
    for number, how in outer.items():
        signal.signal(number, how)


# Input, how it is translated, when the signal comes, and what is then there.
STOPPED = [
    ("film.mp4", {}, 2, signal.SIGTERM, []),
    ("film.mp4", {}, 1, signal.SIGINT, []),
    ("film.mp4", {"cycle": True}, 3, signal.SIGHUP, ["film.mp4"]),
    ("moving.png", {"cycle": True, "grid": True}, 2, signal.SIGTERM, []),
    ("still.png", {}, 1, signal.SIGHUP, []),
]


@pytest.mark.usefixtures("with_usual_signals")
@pytest.mark.parametrize(("name", "options", "calls", "number", "left"), STOPPED)
def test_stopped(given, tmp_path, monkeypatch, name, options, calls, number, left):
    made, work = [], fallback.FallbackTranslator.__call__

    def stop(self, pictures):
        made.append(pictures)
        if len(made) == calls:
            os.kill(os.getpid(), number)
        return work(self, pictures)

    monkeypatch.setattr(fallback.FallbackTranslator, "__call__", stop)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    out = tmp_path / "new" / "out"
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
        translation.translate(
            [str(given / name)], out, workdir=given / "run", **options
        )
    if number != signal.SIGINT:
        assert stopped.value.code == 128 + number
    there = [path for path in tmp_path.rglob("*") if path not in (out, out.parent)]
    assert sorted(path.name for path in there) == left
    assert out.parent.exists() == bool(left)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # aiohttp's, of large uploads.
@pytest.mark.usefixtures("with_usual_signals")
def test_an_upload_that_is_stopped(tmp_path, monkeypatch):
    """The file is in the bucket whole or not at all, however much was sent."""
    with buckets.used(tmp_path):
        from gcsfs import core

        target = files.as_path(f"gs://{buckets.NAME}/out/film.mp4")
        content = np.random.default_rng(0).bytes(11 * 2**20)
        sent, send = [], core.GCSFileSystem._call

        async def stop(self, method, *args, **kwargs):
            if method == "POST" and not sent:
                sent.append(args)
                os.kill(os.getpid(), signal.SIGINT)
            return await send(self, method, *args, **kwargs)

        def upload():
            with video_output.written_at_once(target) as path:
                epath.Path(path).write_bytes(content)

        with monkeypatch.context() as patch:
            patch.setattr(core.GCSFileSystem, "_call", stop)
            with pytest.raises(KeyboardInterrupt):
                upload()
        assert sent
        if target.exists():
            assert target.read_bytes() == content
        upload()
        assert target.read_bytes() == content
