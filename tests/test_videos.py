"""Videos: frames, times, colours, and everything that goes along.

They are made with PyAV, and looked at with PyAV or, where it is installed, with ffmpeg.
"""

import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from cyclegan_jax.errors import UserError
from cyclegan_jax.translation import files as translation
from cyclegan_jax.translation import video, video_output, video_pixels
from tests.translating import make_run

TICKS = Fraction(1, 1000)
QUIET = ["ffmpeg", "-loglevel", "error", "-y"]
needs_ffmpeg = pytest.mark.skipif(
    not shutil.which("ffmpeg"), reason="ffmpeg is not installed"
)


def keep(seen):
    """A translator that changes nothing and notes what it was given."""

    def translate(frames):
        seen.extend(frames)
        return frames

    return translate


def gray_frames(count, height=20, width=32):
    """Frames of one grey each, all different."""
    return [np.full((height, width, 3), 20 + 7 * i, np.uint8) for i in range(count)]


def make_film(
    path,
    frames,
    *,
    times=None,
    codec="libx264",
    sound="",
    chapters=(),
    turned=0,
    metadata=None,
):
    """Writes uint8 RGB frames, shown at `times` (ms; 100 apart by default)."""
    times = times or [100 * i for i in range(len(frames))]
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICKS
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        if turned:
            stream.set_display_rotation(turned)
        if sound:
            track = out.add_stream(sound, rate=48_000, layout="mono")
        out.set_chapters(list(chapters))
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = time, TICKS
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            samples = np.zeros((1, 4800 * len(frames)), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))


def read(path):
    """Frames, times in seconds, and the streams' codecs by type."""
    with av.open(str(path)) as film:
        codecs = {s.type: s.codec_context.name for s in film.streams if s.codec_context}
        frames = list(film.decode(video=0))
        pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
        return pixels, [float(frame.pts * frame.time_base) for frame in frames], codecs


@pytest.mark.parametrize("sound", ["aac", "pcm_s16le"])
def test_frames_and_sound(tmp_path, sound):
    """All frames in their order, at even sizes, and the sound, converted if need be."""
    source, target = tmp_path / "film.mkv", tmp_path / "out" / "film.mp4"
    frames = gray_frames(20)
    seen = []
    make_film(source, frames, sound=sound)
    odd = lambda frames: [frame[:19, :31] for frame in keep(seen)(frames)]  # noqa: E731
    assert video.translate(source, target, odd) == []
    pixels, times, codecs = read(target)
    assert codecs == {"video": "h264", "audio": "aac"}
    assert pixels[0].shape == (20, 32, 3)
    for before, between, after in zip(frames, seen, pixels, strict=True):
        np.testing.assert_allclose(between, before, atol=3)
        np.testing.assert_allclose(after, before, atol=4)
    np.testing.assert_allclose(times, np.arange(20) / 10, atol=1e-3)
    assert [path.name for path in target.parent.iterdir()] == ["film.mp4"]


def test_times_that_vary(tmp_path):
    """Each frame is shown when it was, to the millisecond."""
    times = [0, 33, 67, 167, 168, 500, 900, 933]
    make_film(tmp_path / "phone.mkv", gray_frames(8), times=times)
    video.translate(tmp_path / "phone.mkv", tmp_path / "out.mp4", keep([]))
    _, actual, _ = read(tmp_path / "out.mp4")
    np.testing.assert_allclose(actual, np.array(times) / 1000, atol=1e-4)


def test_a_start_that_is_not_zero(tmp_path):
    """MPEG transport streams start later: frames and sound move together."""
    make_film(tmp_path / "tv.ts", gray_frames(10), sound="mp2")
    with av.open(str(tmp_path / "tv.ts")) as film:
        assert film.start_time > 0
    video.translate(tmp_path / "tv.ts", tmp_path / "out.mp4", keep([]))
    _, times, _ = read(tmp_path / "out.mp4")
    np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-3)
    assert 0 <= times[0] < 0.1


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_rotation(tmp_path, turned):
    """Counter-clockwise, as FFmpeg counts, with pixels that are not square."""
    frame = np.zeros((20, 32, 3), np.uint8)
    frame[:10, :16], frame[10:, 16:] = 200, 90
    make_film(tmp_path / "film.mp4", [frame] * 2, turned=turned)
    seen = []
    video.translate(tmp_path / "film.mp4", tmp_path / "out.mp4", keep(seen))
    np.testing.assert_allclose(seen[0], np.rot90(frame, turned // 90), atol=12)
    with av.open(str(tmp_path / "out.mp4")) as film:
        upright = Fraction(64, 45) if turned == 180 else Fraction(45, 64)
        assert film.streams.video[0].sample_aspect_ratio == upright


def test_mirrored():
    """All eight ways that the standard's matrix can name, by its own equations."""
    picture = np.arange(24).reshape(4, 6, 1)
    for x_to, y_to in ([1, 0], [0, 1]), ([0, 1], [1, 0]):
        for signs in (1, 1), (1, -1), (-1, 1), (-1, -1):
            display = np.array([x_to, y_to]) * signs  # [x, y] @ display
            turned = video_pixels.turn(picture, display)
            corners = np.array([[0, 0], [5, 0], [0, 3], [5, 3]])
            moved = corners @ display
            moved -= moved.min(axis=0)
            for (x, y), (to_x, to_y) in zip(corners, moved, strict=True):
                assert turned[to_y, to_x] == picture[y, x]


def plane_film(path, values, *, trc, primaries, matrix, pixels="yuv420p10le"):
    """A film of one frame whose ten-bit luma is `values`, in columns of 16 pixels."""
    frame = av.VideoFrame(16 * len(values), 16, pixels)
    for plane, level in zip(frame.planes, (values, [512], [512]), strict=True):
        line = np.zeros(plane.line_size // 2, np.uint16)
        row = np.repeat(level, plane.width // len(level))
        line[: len(row)] = row
        plane.update(np.tile(line, plane.height).tobytes())
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=10)
        stream.options = {"x265-params": "lossless=1:log-level=none"}
        stream.width, stream.height, stream.pix_fmt = frame.width, 16, pixels
        context = stream.codec_context
        context.color_trc, context.color_primaries = trc, primaries
        context.colorspace, context.color_range = matrix, 1
        frame.pts, frame.time_base = 0, TICKS
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_ten_bits(tmp_path):
    """Levels 64 to 940 are black to white (ITU-R BT.709)."""
    levels = np.array([64, 200, 502, 700, 940])
    plane_film(tmp_path / "ten.mkv", levels, trc=1, primaries=1, matrix=1)
    seen = []
    assert video.translate(tmp_path / "ten.mkv", tmp_path / "o.mp4", keep(seen)) == []
    expected = (levels - 64) / 876 * 255
    np.testing.assert_allclose(
        seen[0][8, 8::16], np.repeat(expected[:, None], 3, axis=1), atol=1
    )


def test_hdr(tmp_path):
    """PQ (SMPTE ST 2084) to BT.1886, with white at 203 cd/m²; it is said."""
    light = np.array([0, 10, 50, 100, 203, 1000.0])  # cd/m²
    power = (light / 10_000) ** (2610 / 16384)
    code = (3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)
    code **= 2523 / 32
    film = tmp_path / "hdr.mkv"
    levels = np.rint(64 + 876 * code).astype(int)
    plane_film(film, levels, trc=16, primaries=9, matrix=9)
    seen = []
    (note,) = video.translate(film, tmp_path / "out.mp4", keep(seen))
    assert "hdr.mkv is HDR (PQ)" in note
    expected = 255 * np.minimum(light / 203, 1) ** (1 / 2.4)
    np.testing.assert_allclose(seen[0][8, 8::16, 0], expected, atol=3)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mov", "png", "rgba"), ("a.webm", "libvpx-vp9", "yuva420p")],
)
def test_alpha_is_lost_and_said(tmp_path, name, codec, pixels):
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 4), 99, np.uint8), "rgba")
        out.mux(stream.encode(frame.reformat(format=pixels)))
        out.mux(stream.encode(None))
    (note,) = video.translate(tmp_path / name, tmp_path / "out.mp4", keep([]))
    assert f"{name} has an alpha channel" in note


@needs_ffmpeg
def test_interlacing_is_said_and_the_advice_works(tmp_path):
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2:r=50"]
    woven = ["-vf", "tinterlace=4,setfield=tff", "-flags", "+ilme+ildct"]
    ffmpeg = lambda *a: subprocess.run([*QUIET, *a], check=True)  # noqa: E731
    ffmpeg(*source, *woven, "-c:v", "libx264", "-x264opts", "tff=1", tmp_path / "a.mp4")
    (note,) = video.translate(tmp_path / "a.mp4", tmp_path / "out.mp4", keep([]))
    advice = note.split("ffmpeg ")[1].split()
    ffmpeg("-i", tmp_path / "a.mp4", *advice, tmp_path / "b.mp4")
    assert video.translate(tmp_path / "b.mp4", tmp_path / "out.mp4", keep([])) == []


@pytest.mark.parametrize(
    ("width", "tagged", "red", "blue", "number"),
    [
        (1280, 2, 0.2126, 0.0722, 1),
        (1280, 1, 0.2126, 0.0722, 1),
        (64, 2, 0.299, 0.114, 6),
    ],
)
def test_colours(tmp_path, width, tagged, red, blue, number):
    """Against the standards' equations: luma from the weights of red and blue."""
    colour = np.array([200.0, 60.0, 90.0])
    luma = colour @ (red, 1 - red - blue, blue)
    stored = np.array(
        [
            16 + 219 * luma / 255,
            128 + 112 * (colour[2] - luma) / (1 - blue) / 255,
            128 + 112 * (colour[0] - luma) / (1 - red) / 255,
        ]
    )
    frame = av.VideoFrame(width, 32, "yuv420p")
    for plane, value in zip(frame.planes, stored, strict=True):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    with av.open(str(tmp_path / "film.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
        stream.codec_context.colorspace = tagged
        frame.pts, frame.time_base = 0, TICKS
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    seen = []
    video.translate(tmp_path / "film.mp4", tmp_path / "out.mp4", keep(seen))
    np.testing.assert_allclose(seen[0].mean((0, 1)), colour, atol=1.5)
    with av.open(str(tmp_path / "out.mp4")) as film:
        frame = next(film.decode(video=0))
        actual = [frame.to_ndarray()[:32].mean()]
        actual += [
            np.frombuffer(plane, np.uint8)[:16].mean() for plane in frame.planes[1:]
        ]
        assert (frame.colorspace, frame.color_range) == (number, 1)
    np.testing.assert_allclose(actual, stored, atol=1.5)


def test_chapters_subtitles_and_titles(tmp_path):
    """Text is kept with its times; what MP4 has no place for is named."""
    (tmp_path / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,700\nGuten <i>Tag</i>\n\n"
        "2\n00:00:00,800 --> 00:00:01,500\nzwei\n"
    )
    chapters = [
        {"id": i, "start": 1000 * i, "end": 1000 * (i + 1), "time_base": TICKS}
        | {"metadata": {"title": f"part {i}"}}
        for i in range(2)
    ]
    make_film(
        tmp_path / "silent.mkv",
        gray_frames(20),
        chapters=chapters,
        metadata={"title": "My film"},
    )
    source, target = tmp_path / "film.mkv", tmp_path / "out.mp4"
    with (
        av.open(str(tmp_path / "silent.mkv")) as film,
        av.open(str(tmp_path / "s.srt")) as texts,
        av.open(str(source), "w") as out,
    ):
        tracks = {}
        for stream in (film.streams.video[0], texts.streams.subtitles[0]):
            tracks[stream] = out.add_stream_from_template(stream, opaque=True)
        tracks[texts.streams.subtitles[0]].metadata["language"] = "ger"
        out.add_attachment("font.ttf", "font/ttf", b"font")
        out.metadata.update(film.metadata)
        out.set_chapters(film.chapters())
        for container in (film, texts):
            for packet in container.demux():
                if packet.size:
                    packet.stream = tracks[packet.stream]
                    out.mux(packet)
    (note,) = video.translate(source, target, keep([]))
    assert "attachment 2" in note
    with av.open(str(target)) as film:
        assert film.metadata["title"] == "My film"
        titles = [
            (c["metadata"]["title"], c["start"] * c["time_base"])
            for c in film.chapters()
        ]
        assert titles == [("part 0", 0), ("part 1", 1)]
        (stream,) = film.streams.subtitles
        assert stream.metadata["language"] == "ger"
        texts = [
            (float(packet.pts * packet.time_base), text.dialogue)
            for packet in film.demux(stream)
            for text in packet.decode()
        ]
    assert texts == [(0.1, rb"Guten {\i1}Tag"), (0.8, b"zwei")]
    again = tmp_path / "again.mp4"  # Once more, from MP4's own kind of subtitles.
    assert video.translate(target, again, keep([])) == []
    with av.open(str(again)) as film:
        assert len(film.streams.subtitles) == 1
        assert len(film.chapters()) == 2


def test_what_cannot_be_read(tmp_path):
    """One sentence each, and nothing is written: not even for a list of addresses."""
    make_film(tmp_path / "film.mkv", gray_frames(30), sound="aac")
    data = (tmp_path / "film.mkv").read_bytes()
    bad = {
        "bad.mp4": b"no film",
        "empty.mov": b"",
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        "cut.mkv": data[: len(data) // 2],
    }
    target = tmp_path / "out" / "film.mp4"
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(video.UnreadableVideo, match=name):
            video.translate(tmp_path / name, target, keep([]))
    with pytest.raises(video.UnreadableVideo, match="missing"):
        video.translate(tmp_path / "missing.mp4", target, keep([]))
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        track = out.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    with pytest.raises(video.UnreadableVideo, match="no pictures"):
        video.translate(tmp_path / "sound.mp4", target, keep([]))
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_an_error_while_translating_leaves_nothing(tmp_path):
    make_film(tmp_path / "film.mp4", gray_frames(20))
    (tmp_path / "out").mkdir()
    calls = []

    def fail(frames):
        calls.append(len(frames))
        if len(calls) == 2:
            raise UserError("enough")
        return frames

    with pytest.raises(UserError, match="enough"):
        video.translate(tmp_path / "film.mp4", tmp_path / "out" / "film.mp4", fail)
    assert list((tmp_path / "out").iterdir()) == []


def test_batch(tmp_path, capsys):
    """Good ones are translated by a run; bad ones are named and counted."""
    (tmp_path / "in").mkdir()
    run = make_run(tmp_path)
    make_film(tmp_path / "in" / "good.mkv", gray_frames(3))
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    status = translation.translate([str(tmp_path / "in")], out, workdir=run, cycle=True)
    assert status == 1
    captured = capsys.readouterr()
    assert "bad.mp4 cannot be read" in captured.err
    assert "Translated 1 of 2 files" in captured.out
    assert "1 unreadable videos" in captured.out
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*"))
    assert names == ["cycle/good.mp4", "good.mp4"]
    assert len(read(out / "good.mp4")[0]) == 3


@needs_ffmpeg
def test_against_ffmpeg(tmp_path):
    """Films of ffmpeg's are read, and it reads ours: frames, shape and colours."""
    source, target = tmp_path / "film.mov", tmp_path / "out.mp4"
    made = ["-f", "lavfi", "-i", "testsrc=size=320x200:rate=5:duration=2"]
    made += ["-f", "lavfi", "-i", "sine=duration=2", "-c:a", "pcm_s16le"]
    made += ["-vf", "setsar=64/45", "-pix_fmt", "yuv420p"]
    subprocess.run([*QUIET, *made, str(source)], check=True)
    video.translate(source, target, keep([]))
    probe = ["ffprobe", "-v", "error", "-count_frames", "-of", "csv=p=0"]
    shown = "stream=codec_name,width,height,sample_aspect_ratio,color_space"
    probe += ["-show_entries", f"{shown},nb_read_frames", str(target)]
    lines = subprocess.check_output(probe, text=True).split()
    assert lines[0] == "h264,320,200,64:45,smpte170m,10"
    assert lines[1].startswith("aac,")

    def pixels(path):
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
        data = subprocess.check_output([*QUIET, "-i", str(path), *raw])
        return np.frombuffer(data, np.uint8).astype(int)

    assert np.mean(np.abs(pixels(source) - pixels(target))) < 2


def test_object_stores_get_the_whole_file(tmp_path, monkeypatch):
    """It is written elsewhere first: stores have no renaming, and MP4 needs seeking."""
    make_film(tmp_path / "film.mkv", gray_frames(3))
    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr(video_output, "is_remote", lambda path: True)
    target, seen = tmp_path / "bucket" / "film.mp4", []

    def look(frames):
        seen.extend((tmp_path / "bucket").iterdir())
        return frames

    video.translate(tmp_path / "film.mkv", target, look)
    assert seen == []
    assert len(read(target)[0]) == 3
