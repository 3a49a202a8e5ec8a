"""Reads videos with PyAV, whose wheels include FFmpeg's libraries.

Every frame keeps its timestamp, so variable frame rates are preserved. Frames are
turned upright and converted to RGB. A video that does not name its colour matrix is
read as players read it: BT.709 for high definition, BT.601 below. In HDR videos,
whatever is at least as bright as white paper (203 cd/m², ITU-R BT.2408) becomes white.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition
from etils import epath

from cyclegan_jax.errors import UserError
from cyclegan_jax.progress import Progress
from cyclegan_jax.translation.video_output import Writer, written_at_once
from cyclegan_jax.translation.video_pixels import (
    MATRICES,
    Converter,
    display_matrix,
    matrix,
    turn,
)

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv"),
)
# Not playlists, which name other files and addresses.
_FORMATS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg"
_FRAMES_AT_ONCE = 8
_SHORT = (
    0.2  # Seconds, or 1.5 frames: a video that ends earlier than this was truncated.
)

# Numbers of ITU-T H.273, as FFmpeg uses them.
_UNSPECIFIED = (2, 3)
_HDR = {16: "PQ", 18: "HLG"}
_WIDE = (9, 11, 12)  # Primaries of BT.2020 and both kinds of P3.


class UnreadableVideo(UserError):
    """A video that cannot be read, or not to its end."""


def translate(
    source: epath.PathLike,
    target: epath.PathLike,
    translator: Callable[[list[np.ndarray]], list[np.ndarray]],
) -> list[str]:
    """Translates a video frame by frame.

    Args:
      source: the video.
      target: the MP4 to write, all of it or nothing.
      translator: maps uint8 [H, W, 3] frames.

    Returns:
      Notes for the user: HDR, alpha, interlacing, and tracks that were left out.

    Raises:
      UnreadableVideo: it cannot be read.
      UserError: the result cannot be written.
    """
    source, target = epath.Path(source), epath.Path(target)
    with _file(source) as file, _open(file, source) as film:
        reader = _Reader(source, film)
        try:
            with (
                written_at_once(target) as path,
                av.open(path, "w", format="mp4") as out,
            ):
                writer = Writer(film, out, reader.stream, reader.start)
                _translate_frames(reader, writer, translator)
        except av.FFmpegError as error:
            reason = _reason(error)
            raise UserError(f"{target} cannot be written ({reason}).") from error
    return [f"{source} {note}" for note in (*reader.notes, *writer.notes)]


def _translate_frames(reader, writer, translator):
    frames = reader.frames(writer)
    with Progress(total=reader.count, unit="frame", leave=False) as bar:
        while some := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
            results = translator([pixels for pixels, _ in some])
            for result, (_, time) in zip(results, some, strict=True):
                writer.write(result, time, reader.aspect)
            bar.update(len(some))
    writer.finish()


def _file(source):
    try:
        return source.open("rb")
    except OSError as error:  # Unlike one from writing, it is the input's.
        raise _unreadable(source, error.strerror or error) from error


def _open(file, source):
    options = {"format_whitelist": _FORMATS}
    with _reading(source):
        return av.open(file, options=options, metadata_errors="replace")


@contextlib.contextmanager
def _reading(source):
    """Turns read errors into UnreadableVideo, with the name of the video."""
    try:
        yield
    except (av.FFmpegError, OSError, UnicodeError) as error:
        raise _unreadable(source, _reason(error)) from error


def _unreadable(source, reason):
    return UnreadableVideo(f"video {source} cannot be read ({reason}): replace it")


def _reason(error):
    return getattr(error, "strerror", None) or str(error)


class _Reader:
    """The pictures of a video.

    Attributes:
      stream: the stream that they are in.
      start: when the video starts by its own clock, in seconds.
      count: how many there are, about, or None.
      aspect: width of a pixel, upright, by its height; known with the first frame.
      notes: for the user.
    """

    def __init__(self, source, film):
        self._source, self._film = source, film
        streams = [
            stream
            for stream in film.streams.video
            if stream.codec_context
            and not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            raise _unreadable(source, "it has no pictures")
        self.stream = streams[0]
        self.start = Fraction(film.start_time or 0, av.time_base)
        self._seconds = (film.duration or 0) / av.time_base
        self._rate = self.stream.average_rate or self.stream.base_rate or Fraction(25)
        self.count = round(self._seconds * self._rate) or None
        self.aspect = Fraction(self.stream.sample_aspect_ratio or 1)
        self.notes: list[str] = []
        self._to_rgb = Converter("rgb24", _colours)
        self._time = None

    def frames(self, others) -> Iterator[tuple[np.ndarray, Fraction]]:
        """Yields the pictures.

        Args:
          others: `others.streams` are read along, and its `add` gets their packets.

        Yields:
          uint8 [H, W, 3], and when it is shown, in seconds from the start.

        Raises:
          UnreadableVideo: it is damaged or ends too early.
        """
        end = self.start
        packets = self._film.demux([self.stream, *others.streams])
        while (packet := self._next(packets)) is not None:
            if packet.pts is not None:
                after = packet.pts + (packet.duration or 0)
                end = max(end, after * packet.time_base)
            if packet.stream is not self.stream:
                others.add(packet)
                continue
            with _reading(self._source):
                frames = packet.decode()
            for frame in frames:
                if frame.is_corrupt:
                    raise _unreadable(self._source, "a picture in it is damaged")
                yield self._upright(frame), self._when(frame)
        length = float(end - self.start)
        if self._time is None:
            raise _unreadable(self._source, "it has no pictures")
        if length < self._seconds - max(_SHORT, 1.5 / self._rate):
            reason = f"it ends after {length:.1f} of {self._seconds:.1f} seconds"
            raise _unreadable(self._source, reason)

    def _next(self, packets):
        with _reading(self._source):
            return next(packets, None)

    def _upright(self, frame):
        first = self._time is None
        if first:
            self.notes += _losses(frame, self.stream)
        pixels = self._to_rgb(frame).to_ndarray()
        display = display_matrix(frame)
        if first and display[0, 1]:
            self.aspect = 1 / self.aspect
        return turn(pixels, display)

    def _when(self, frame):
        if frame.pts is None:
            time = 0 if self._time is None else self._time + 1 / self._rate
        else:
            time = frame.pts * frame.time_base - self.start
        self._time = time
        return time


def _losses(frame, stream) -> list[str]:
    """What of a video its translation cannot have, for the user."""
    notes = []
    if frame.color_trc in _HDR:
        notes.append(
            f"is HDR ({_HDR[frame.color_trc]}) and its translation is not: what is"
            " brighter than white paper (203 cd/m²) became white"
        )
    alpha = any(component.is_alpha for component in frame.format.components)
    if alpha or stream.metadata.get("alpha_mode") == "1":  # VP9's is not decoded.
        notes.append("has an alpha channel, which MP4 has no place for")
    if frame.interlaced_frame:
        notes.append(
            "is interlaced, and was translated as it is: to have no combs at edges,"
            " deinterlace it first, such as with ffmpeg -vf bwdif"
        )
    return notes


def _colours(frame) -> str:
    """The arguments of FFmpeg's scale filter that make a frame ordinary RGB."""
    if frame.color_trc in _HDR or frame.color_primaries in _WIDE:
        return "out_primaries=bt709:out_transfer=bt709"
    if frame.colorspace in _UNSPECIFIED:
        return f"in_color_matrix={MATRICES[matrix(frame.width, frame.height)]}"
    return "in_color_matrix=auto"
