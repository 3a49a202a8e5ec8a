"""Videos, through the ffmpeg and ffprobe programs where they are installed.

Frames travel through pipes as PPM images, which carry their own size: ffmpeg turns
them upright first. The sound is copied; if its format does not fit into MP4, it is
converted. Colours: what a video does not say is taken as players take it, BT.709 for
high definition and BT.601 below, and what we write says which of the two it is.
"""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from cyclegan_jax.errors import UserError

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
_FRAMES_AT_ONCE = 8
_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")
_EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_PPM = ("-f", "image2pipe", "-c:v", "ppm")


class _Video(NamedTuple):
    """What ffprobe knows of a video, in ffmpeg's words; `frames` is about right."""

    rate: str
    matrix: str
    aspect: str
    frames: int | None


class UnreadableVideo(UserError):
    """A video that ffmpeg cannot read."""


def translate(
    source: os.PathLike,
    target: pathlib.Path,
    translator: Callable[[list[np.ndarray]], list[np.ndarray]],
) -> None:
    """Translates a video frame by frame.

    Args:
      source: the video.
      target: the MP4 to write, all of it or nothing.
      translator: maps uint8 [H, W, 3] frames.

    Raises:
      UnreadableVideo: it cannot be read.
      UserError: ffmpeg is not installed, or cannot write the result.
    """
    check_installed()
    # Absolute: a name like 12:30.mp4 would be taken for a protocol.
    source, target = pathlib.Path(source).absolute(), target.absolute()
    about = _probe(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        silent = os.path.join(folder, "silent.mp4")
        _translate_frames(source, silent, about, translator)
        result = os.path.join(folder, target.name)
        for codec in ("copy", "aac"):
            command = ["ffmpeg", *_QUIET, "-y", "-i", silent, "-i", os.fspath(source)]
            command += ["-map", "0:v", "-map", "1:a?", "-c:v", "copy", "-c:a", codec]
            done = subprocess.run([*command, result], capture_output=True, text=True)
            if done.returncode == 0:
                os.replace(result, target)
                return
    raise UserError(f"{target} cannot be written ({_last_line(done.stderr)}).")


def check_installed() -> None:
    """Checks that ffmpeg is there.

    Raises:
      UserError: it is not; says how to get it.
    """
    if not shutil.which("ffmpeg") or not shutil.which("ffprobe"):
        raise UserError(
            "translating videos needs the ffmpeg program (on Debian and Ubuntu: sudo"
            " apt install ffmpeg)."
        )


def _matrix(width: int, height: int) -> str:
    """Returns the colour matrix that players take where nothing is said."""
    high = max(width, height) >= 1280 or min(width, height) > 576
    return "bt709" if high else "smpte170m"


def _probe(source) -> _Video:
    wanted = "r_frame_rate,avg_frame_rate,width,height,color_space,sample_aspect_ratio"
    command = ["ffprobe", "-v", "error", "-select_streams", "V:0", "-of", "json"]
    command += ["-show_entries", f"stream={wanted}:format=duration"]
    done = subprocess.run([*command, os.fspath(source)], capture_output=True, text=True)
    streams = json.loads(done.stdout or "{}").get("streams")
    if done.returncode or not streams:
        reason = _last_line(done.stderr) or "it has no pictures"
        raise UnreadableVideo(f"video {source} cannot be read ({reason}): replace it")
    # The average: the other one is a common multiple, 90,000 for phones' videos.
    said = streams[0].get("color_space", "unknown")
    unsaid = _matrix(streams[0].get("width", 0), streams[0].get("height", 0))
    matrix = unsaid if said in ("unknown", "reserved") else "auto"
    rates = [streams[0].get(f"{kind}_frame_rate", "0/0") for kind in ("avg", "r")]
    rate = next((r for r in rates if not r.startswith("0/") and "/0" not in r), "25/1")
    seconds = json.loads(done.stdout).get("format", {}).get("duration")
    top, _, bottom = rate.partition("/")
    count = round(float(seconds) * int(top) / int(bottom or 1)) if seconds else None
    aspect = streams[0].get("sample_aspect_ratio", "1:1").replace(":", "/")
    aspect = "1/1" if aspect.startswith("0/") or "/" not in aspect else aspect
    return _Video(rate, matrix, aspect, count)


def _writing(silent, about, shape) -> list[str]:
    """The command that makes a video of frames of a shape."""
    matrix = _matrix(shape[1], shape[0])
    # Most players want even sides and 4:2:0.
    change = f"pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix={matrix}"
    command = ["ffmpeg", *_QUIET, "-y", *_PPM, "-framerate", about.rate, "-i", "-"]
    change += f":out_range=tv:{_EXACT},setsar={about.aspect}"
    command += ["-vf", change, "-pix_fmt", "yuv420p"]
    command += ["-colorspace", matrix, "-color_range", "tv"]
    return [*command, "-color_primaries", matrix, "-color_trc", matrix, silent]


def _translate_frames(source, silent, about, translator):
    colours = f"scale=in_color_matrix={about.matrix}:{_EXACT}"
    read = ["ffmpeg", *_QUIET, "-i", os.fspath(source), "-map", "0:V:0"]
    read += ["-r", about.rate, "-vf", colours, *_PPM, "-"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryFile("w+") as problems,
        subprocess.Popen(read, stdout=-1, stderr=problems) as reader,
        tqdm(total=about.frames, unit="frame", leave=False) as bar,
    ):
        frames = _read_ppm(reader.stdout)
        writer = None
        try:
            while some := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
                translated = translator(some)
                if writer is None:
                    write = _writing(silent, about, translated[0].shape)
                    writer = subprocess.Popen(write, stdin=-1, stderr=errors)
                for frame in translated:
                    writer.stdin.write(_ppm(frame))
                bar.update(len(some))
            reader.wait()
        except BrokenPipeError:
            pass  # The writer says why.
        finally:
            reader.kill()
            if writer:
                writer.stdin.close()
                writer.wait()
        errors.seek(0)
        problems.seek(0)
        problem = _last_line(problems.read())
        if writer is None or (problem and not writer.returncode):  # Cut off, say.
            reason = problem or "it has no pictures"
            raise UnreadableVideo(
                f"video {source} cannot be read ({reason}): replace it"
            )
        if writer.returncode:
            raise UserError(
                f"the translation of {source} cannot be written"
                f" ({_last_line(errors.read())})."
            )


def _read_ppm(stream) -> Iterator[np.ndarray]:
    """Yields uint8 [H, W, 3] until the stream ends or a frame is cut off."""
    while stream.readline() == b"P6\n":
        width, height = map(int, stream.readline().split())
        stream.readline()  # 255
        data = stream.read(width * height * 3)
        if len(data) < width * height * 3:
            return
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _ppm(frame):
    """The PPM file of a uint8 [H, W, 1 or 3] frame."""
    frame = np.broadcast_to(frame, (*frame.shape[:2], 3))
    header = f"P6\n{frame.shape[1]} {frame.shape[0]}\n255\n".encode()
    return header + frame.tobytes()


def _last_line(text):
    lines = text.strip().splitlines()
    return lines[-1][-200:] if lines else ""
