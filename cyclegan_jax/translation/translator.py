"""Translates images of any size with a run's generator."""

from collections.abc import Sequence
from typing import Literal, get_args, overload

import jax
import numpy as np
from etils import epath

from cyclegan_jax.core.methods.interface import Variables, size_multiple
from cyclegan_jax.data.decode import convert_channels
from cyclegan_jax.data.preprocess import resize
from cyclegan_jax.directions import domains
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine.spread import Spread
from cyclegan_jax.runs.run import Run
from cyclegan_jax.translation import tiling

Size = Literal["keep", "resize", "tile"]


class Translator:
    """One generator of a run, as a function of pictures.

        translator = Translator.load("runs/horse2zebra", "AtoB")
        zebra = translator(horse)

    Attributes:
      run: the run.
      direction: AtoB or BtoA.
      channels_in: channels of its inputs; other pictures are converted.
      channels_out: channels of its outputs.
      pixels_in: how its inputs are stored; measured values are not converted.
      pixels_out: how its outputs are stored.
      is_network: whether it is a single pass of a generator, not an optimisation.
    """

    def __init__(
        self,
        run: Run,
        direction: str = "AtoB",
        *,
        size: Size = "keep",
        tile_size: int = 512,
        all_processes: bool = False,
    ):
        """Prepares a generator.

        Args:
          run: from `Run.load`.
          direction: AtoB or BtoA.
          size: how image sizes are handled. `keep`: reflection padding at the right
            and the bottom to a multiple that the network accepts, and cropping back;
            the output has the input's size. `resize`: bicubic, to the square of the
            training size, as in published results. `tile`: like `keep`, in tiles of
            `tile_size`, for images that do not fit into memory.
          tile_size: side of the tiles in pixels.
          all_processes: see `machine.spread.Spread`.

        Raises:
          UserError: the run lacks this direction, or it cannot work in tiles.
        """
        if size not in get_args(Size):
            raise UserError(f"size is {size!r}; it can be {', '.join(get_args(Size))}.")
        self.run, self.direction = run, direction
        translation = run.translation(direction)
        self._size, self._side = size, run.config.data.crop_size
        domain_in, domain_out = domains(direction)
        self.pixels_in = run.experiment.pixels[domain_in]
        self.pixels_out = run.experiment.pixels[domain_out]
        self.channels_in = self.pixels_in.channels
        self.channels_out = self.pixels_out.channels
        self._multiple = size_multiple(run.method)
        apply, self._networks = translation.apply, translation.networks
        self._spread = Spread(
            lambda variables, photos: apply(variables, photos, jax.random.key(0)),
            all_processes=all_processes,
            by_image=run.config.same_bits,
        )
        self._generator = translation.generator
        self.is_network = self._generator is not None
        self.use(run.variables)
        self._tiled = None
        if size == "tile":
            self._tiled = tiling.TiledGenerator(self._generator, tile_size)

    @classmethod
    def load(
        cls,
        workdir: epath.PathLike,
        direction: str = "AtoB",
        *,
        step: int | None = None,
        average: bool = True,
        size: Size = "keep",
        tile_size: int = 512,
    ) -> "Translator":
        """Loads a generator from a run's folder.

        Args:
          workdir: the run's folder.
          direction: AtoB or BtoA.
          step: of a checkpoint; None for the newest.
          average: use averaged (EMA) parameters where they exist.
          size: see `__init__`.
          tile_size: see `__init__`.

        Raises:
          UserError: there is no such run, checkpoint or generator.
        """
        run = Run.load(workdir, step, average=average)
        return cls(run, direction, size=size, tile_size=tile_size)

    def use(self, variables: Variables) -> None:
        """Swaps in other variables of the same networks; nothing is recompiled."""
        needed = {name: variables[name] for name in self._networks}
        if prepare := getattr(self._generator, "prepare", None):
            needed = {name: prepare(needed[name]) for name in needed}
        self._variables = self._spread.place(needed)

    @overload
    def __call__(self, pictures: np.ndarray) -> np.ndarray: ...

    @overload
    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]: ...

    def __call__(
        self, pictures: np.ndarray | Sequence[np.ndarray]
    ) -> np.ndarray | list[np.ndarray]:
        """Translates pictures.

        Args:
          pictures: uint8: one of [H, W] or [H, W, C]; several of one size, [B, H, W,
            C]; or a sequence of such single pictures of any sizes. C is 1, 3 or 4, of
            which the fourth (transparency) is left out. Where the run's images are
            measured values: exactly what `pixels_in` describes.

        Returns:
          The same kind, with `channels_out` channels: uint8, or what `pixels_out`
          describes.

        Raises:
          TypeError: they are not uint8.
          UserError: they are not the measured values that the run's config declares.
        """
        if isinstance(pictures, jax.Array):
            pictures = np.asarray(pictures)
        if not isinstance(pictures, np.ndarray):
            return self._translate_all([np.asarray(picture) for picture in pictures])
        if pictures.ndim == 4:
            shape = (*pictures.shape[:3], self.channels_out)
            blank = np.zeros(shape, self.pixels_out.dtype)
            results = self._translate_all(list(pictures))
            return np.stack(results) if results else blank
        return self._translate_all([pictures])[0]

    def _translate_all(self, pictures):
        prepared = [self._prepare(picture) for picture in pictures]
        results = [None] * len(pictures)
        groups: dict[tuple, list[int]] = {}
        for index, (padded, _) in enumerate(prepared):
            groups.setdefault(padded.shape, []).append(index)
        at_once = self._spread.count
        for indices in groups.values():
            for start in range(0, len(indices), at_once):
                some = indices[start : start + at_once]
                batch = np.stack([prepared[index][0] for index in some])
                for index, result in zip(some, self._run_batch(batch), strict=True):
                    height, width = prepared[index][1]
                    results[index] = result[:height, :width]
        return results

    def _prepare(self, picture):
        """Returns the image in the network's size, and the size to crop back to."""
        pixels = self.pixels_in
        if (picture.dtype != np.uint8 and not pixels.measured) or (
            picture.ndim not in (2, 3)
        ):
            raise TypeError(
                f"a picture must be {pixels.dtype} [H, W] or [H, W, C], not"
                f" {picture.dtype} {list(picture.shape)}"
            )
        if picture.ndim == 2:
            picture = picture[..., None]
        if not pixels.measured:
            picture = convert_channels(picture, self.channels_in)
        elif problem := pixels.problem(picture, stored=False):
            domain = domains(self.direction)[0].upper()
            raise UserError(f"a picture is not what the run's {domain} is: {problem}.")
        if self._size == "resize":
            picture = resize(picture, self._side, self._side, pixels)
        height, width = picture.shape[:2]
        extra = [-side % self._multiple for side in (height, width)]
        return mirror_pad(picture, *extra), (height, width)

    def _run_batch(self, batch):
        """Translates [B, H, W, C] as stored, with B up to the number of devices."""
        values = self.pixels_in.to_float(batch)
        if self._tiled is not None:
            (variables,) = self._variables.values()
            tiled = [self._tiled(variables, image) for image in values]
            return [self.pixels_out.from_float(_finite(value)) for value in tiled]
        return self.pixels_out.from_float(self.translate_float(values))

    def translate_float(self, values: np.ndarray) -> np.ndarray:
        """Translates float32 [B, H, W, C] in [-1, 1], sides as the network needs."""
        return _finite(self._spread(self._variables, values))


def _finite(values):
    if not np.all(np.isfinite(values)):
        raise UserError(
            "the generator's output is not finite: its training went wrong; choose an"
            " earlier checkpoint with --step."
        )
    return values


def mirror_pad(picture: np.ndarray, below: int, right: int) -> np.ndarray:
    """Reflection-pads [H, W, C] at the bottom and the right."""
    # A single row or column cannot be reflected.
    for axis, extra in enumerate((below, right)):
        widths = [(0, extra if i == axis else 0) for i in range(3)]
        mirrored = picture.shape[axis] > 1
        picture = np.pad(picture, widths, mode="reflect" if mirrored else "edge")
    return picture
