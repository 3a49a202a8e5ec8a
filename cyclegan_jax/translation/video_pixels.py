"""Converts and turns the pixels of video frames, and knows their colour matrices."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData

MATRICES = {1: "bt709", 6: "smpte170m"}
"""Colour matrix, by its number in ITU-T H.273: its name in FFmpeg."""
FINEST = Fraction(1, 90_000)
"""Seconds: the shortest tick of what we write."""

_EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


def matrix(width: int, height: int) -> int:
    """Returns the colour matrix that players take where nothing is specified."""
    high = max(width, height) >= 1280 or min(width, height) > 576
    return 1 if high else 6


def display_matrix(frame: Any) -> np.ndarray:
    """Returns where x and y go: x' = x m[0, 0] + y m[1, 0], y' = x m[0, 1] + y m[1, 1].

    In units of -1, 0 and 1.
    """
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return np.eye(2)
    numbers = np.frombuffer(bytes(data), "=i4").reshape(3, 3)[:2, :2] / 2**16
    return np.rint(numbers / max(np.max(np.abs(numbers)), 2**-16))


def turn(pixels: np.ndarray, display: np.ndarray) -> np.ndarray:
    """Turns and mirrors [H, W, C] by multiples of a right angle.

    Args:
      pixels: [H, W, C].
      display: where x and y point to, a row each, in units of -1, 0 and 1.
    """
    (x_by_x, y_by_x), (x_by_y, y_by_y) = display
    if y_by_x and x_by_y:
        pixels, x_by_x, y_by_y = pixels.swapaxes(0, 1), x_by_y, y_by_x
    return np.ascontiguousarray(
        pixels[:: -1 if y_by_y < 0 else 1, :: -1 if x_by_x < 0 else 1]
    )


class Converter:
    """Converts frames by FFmpeg's scale filter, as exactly as it can."""

    def __init__(self, pixels: str, colours: Callable[[av.VideoFrame], str]):
        """Sets the format; the size stays that of the first frame.

        Args:
          pixels: FFmpeg's name of the format.
          colours: gives more arguments of the filter for a frame.
        """
        self._pixels, self._colours = pixels, colours
        self._size = ""
        self._kind: tuple = ()
        self._graph: Graph  # For frames of that kind.

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Converts a frame."""
        self._size = self._size or f"{frame.width}:{frame.height}"
        colours = self._colours(frame)
        kind = (frame.width, frame.height, frame.format.name, frame.time_base, colours)
        if kind != self._kind:
            self._kind, self._graph = kind, Graph()
            source = self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base or FINEST,
            )
            scale = self._graph.add("scale", f"{self._size}:{_EXACT}:{colours}")
            form = self._graph.add("format", self._pixels)
            self._graph.link_nodes(source, scale, form, self._graph.add("buffersink"))
            self._graph.configure()
        self._graph.push(frame)
        return self._graph.vpull()
