"""Writes videos as MP4 with H.264, and copies the other tracks of the original.

Sound is copied where MP4 players support its format, otherwise converted to AAC.
Text subtitles, chapters and the title are kept; other tracks are reported.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet
from etils import epath

from cyclegan_jax import images
from cyclegan_jax.files import folders_above, is_remote
from cyclegan_jax.translation.video_pixels import FINEST, MATRICES, Converter, matrix

_LIMITED = 1  # FFmpeg's number of the range 16 to 235.
_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")  # Common in MP4.
_LAYOUTS = {1: "mono", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_TEXT = ("subrip", "ass", "ssa", "webvtt", "text")
_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")


@contextlib.contextmanager
def written_at_once(target: epath.Path) -> Iterator[str]:
    """Gives a local path to write to, which becomes `target` if nothing is raised."""
    local = not is_remote(target)
    beside = os.fspath(target.parent) if local else None
    with (
        folders_above(target),
        tempfile.TemporaryDirectory(dir=beside, prefix=".video_") as folder,
    ):
        path = pathlib.Path(folder) / "video.mp4"
        yield os.fspath(path)
        if local:
            path.replace(os.fspath(target))
        else:
            _upload(path, target)


def _upload(path, target):
    """A file that is open for writing would be there as far as it got."""
    import fsspec  # Comes with the packages for remote storage.

    store, name = fsspec.core.url_to_fs(os.fspath(target))
    store.put_file(os.fspath(path), name)


def _colours(frame):
    return (
        f"out_color_matrix={MATRICES[matrix(frame.width, frame.height)]}:out_range=tv"
    )


class Writer:
    """A video that is being written.

    Attributes:
      streams: those of the original that are passed on packet by packet.
      notes: for the user.
    """

    def __init__(
        self,
        film: av.container.InputContainer,
        out: av.container.OutputContainer,
        pictures: av.VideoStream,
        start: Fraction,
    ):
        """Decides how each track is written.

        Args:
          film: the original.
          out: what to write to.
          pictures: the stream that is translated.
          start: when the original starts by its own clock, in seconds.
        """
        self._out, self._start = out, start
        rate = pictures.average_rate or Fraction(25)
        self._ticks = max(pictures.time_base or FINEST, FINEST)
        self._video = out.add_stream("libx264", rate=rate)
        self._last: int | None = None
        self._waiting: list[av.Packet] = []  # Until the first picture.
        self._to_yuv = Converter("yuv420p", _colours)
        chapters = film.chapters()
        self._ways, left_out = {}, []
        for stream in film.streams:
            titles = stream.type == "data" and not stream.codec_context and chapters
            if stream is pictures or titles:  # Which `set_chapters` writes again.
                continue
            if way := self._way(stream):
                self._ways[stream.index] = way
            else:
                left_out.append(_describe(stream))
        self.streams = [film.streams[index] for index in self._ways]
        listed = ", ".join(left_out)
        self.notes = [f"has tracks that MP4 has no place for: {listed}"] * bool(listed)
        for name, text in film.metadata.items():
            if name.lower() not in _OF_THE_FILE:
                out.metadata[name] = text
        out.set_chapters([_shifted(chapter, start) for chapter in chapters])

    def add(self, packet: av.Packet) -> None:
        """Passes on a packet of one of `streams`."""
        if self._last is None:
            self._waiting.append(packet)
        elif packet.size:
            self._ways[packet.stream.index](packet)

    def write(self, pixels: np.ndarray, time: Fraction, aspect: Fraction) -> None:
        """Adds a picture.

        Args:
          pixels: uint8 [H, W, C]; a side that is odd grows by a copy of its last line,
            since most players want even ones.
          time: when it is shown, in seconds from the start.
          aspect: width of a pixel by its height; that of the first picture counts.
        """
        below, right = (-side % 2 for side in pixels.shape[:2])
        pixels = np.pad(images.as_rgb(pixels), ((0, below), (0, right), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        frame = self._to_yuv(frame)
        first = self._last is None
        if first:
            self._begin(frame, aspect)
        tick = round(time / self._ticks)
        self._last = tick if self._last is None else max(tick, self._last + 1)
        frame.pts, frame.time_base = self._last, self._ticks
        self._out.mux(self._video.encode(frame))
        if first:
            waiting, self._waiting = self._waiting, []
            for packet in waiting:
                self.add(packet)

    def finish(self) -> None:
        """Flushes the encoders."""
        self._out.mux(self._video.encode(None))
        for stream in self._out.streams.audio:
            if stream.codec_context.is_encoder and stream.codec_context.is_open:
                self._out.mux(stream.encode(None))

    def _begin(self, frame, aspect):
        number = matrix(frame.width, frame.height)
        context = self._video.codec_context
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = "yuv420p"
        context.time_base = self._ticks
        context.sample_aspect_ratio = aspect
        context.color_range = _LIMITED
        context.colorspace = context.color_primaries = context.color_trc = number

    def _way(self, stream) -> Callable[[av.Packet], None] | None:
        """How a track's packets are passed on; None if it is left out."""
        context, out = stream.codec_context, self._out
        name = context.codec.canonical_name if context else ""
        if (stream.type == "audio" and name in _SOUND) or name == "mov_text":
            track, pass_on = out.add_stream_from_template(stream), self._copy
        elif stream.type == "audio" and name:
            rate = context.sample_rate
            known = av.Codec("aac", "w").audio_rates or ()
            rate = rate if rate in known else 48_000
            track, pass_on = out.add_stream("aac", rate=rate), self._encode
            channels = context.layout.nb_channels
            track.codec_context.layout = _LAYOUTS.get(channels, "stereo")
        elif name in _TEXT:
            context.open(strict=False)
            track, pass_on = out.add_stream("mov_text"), self._write_text
            track.codec_context.subtitle_header = context.subtitle_header
            track.codec_context.time_base = stream.time_base
        else:
            return None
        for key in ("language", "title"):
            if key in stream.metadata:
                track.metadata[key] = stream.metadata[key]
        return lambda packet: pass_on(packet, track)

    def _copy(self, packet, track):
        shift = round(self._start / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = track
        self._out.mux(packet)

    def _encode(self, packet, track):
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            self._out.mux(track.encode(frame))

    def _write_text(self, packet, track):
        for text in packet.decode():
            event = SubtitleSet.create(text.ass, 0, packet.duration or 0, packet.pts)
            encoded = track.codec_context.encode_subtitle(event)
            encoded.time_base = packet.time_base
            self._copy(encoded, track)


def _shifted(chapter, start):
    shift = round(start / chapter["time_base"])
    times = {key: max(chapter[key] - shift, 0) for key in ("start", "end")}
    return chapter | times


def _describe(stream):
    name = stream.codec_context.codec.canonical_name if stream.codec_context else ""
    language = stream.metadata.get("language", "und")
    about = [name] * bool(name) + [language] * (language != "und")
    return f"{stream.type} {stream.index} ({', '.join(about) or 'unknown format'})"
