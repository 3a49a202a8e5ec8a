"""How a kernel moves over an image: what all forms of a convolution have to know."""

from collections.abc import Sequence
from typing import NamedTuple


class Window(NamedTuple):
    """A kernel's shape, and how it moves.

    Attributes:
      kernel: its shape, (kh, kw, I, O).
      stride: step in both directions, in pixels of the input.
      padding: zeros added on each side of the input, in pixels.
      unread: rows and columns at the far ends of the (padded) input that no window
        reaches, each less than `stride`. Only the gradient for the input asks: they
        cannot be told from the output's size (PyTorch's `output_padding`).
    """

    kernel: tuple[int, ...]
    stride: int
    padding: int
    unread: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        height, width = self.kernel[:2]
        return height, width

    @property
    def channels(self) -> tuple[int, int]:
        """Of the input and of the output."""
        channels_in, channels_out = self.kernel[2:]
        return channels_in, channels_out

    def over(self, height: int, width: int) -> "Window":
        """Returns the window over an input of that size, with the right `unread`."""
        padded = (side + 2 * self.padding for side in (height, width))
        below, right = (
            (side - taps) % self.stride
            for side, taps in zip(padded, self.size, strict=True)
        )
        return self._replace(unread=(below, right))

    def input_size(self, output: Sequence[int]) -> tuple[int, int]:
        """Height and width of the input, for those of the output."""
        height, width = (
            self.stride * (side - 1) + taps - 2 * self.padding + unread
            for side, taps, unread in zip(output, self.size, self.unread, strict=True)
        )
        return height, width
