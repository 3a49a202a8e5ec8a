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

    kernel: tuple[int, int, int, int]
    stride: int
    padding: int
    unread: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return self.kernel[:2]

    @property
    def channels(self) -> tuple[int, int]:
        """Of the input and of the output."""
        return self.kernel[2:]

    def over(self, height: int, width: int) -> "Window":
        """Returns the window over an input of that size, with the right `unread`."""
        padded = (side + 2 * self.padding for side in (height, width))
        unread = tuple(
            (side - taps) % self.stride
            for side, taps in zip(padded, self.size, strict=True)
        )
        return self._replace(unread=unread)

    def input_size(self, output: Sequence[int]) -> tuple[int, int]:
        """Height and width of the input, for those of the output."""
        return tuple(
            self.stride * (side - 1) + taps - 2 * self.padding + unread
            for side, taps, unread in zip(output, self.size, self.unread, strict=True)
        )
