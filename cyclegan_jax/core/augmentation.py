"""DiffAugment (Zhao et al. 2020): what discriminators see is augmented, differentiably.

With few images a discriminator memorises them. If it sees every image, real and
generated, through the same random transformations T, in its own loss and in the
generators', it cannot, and the generators do not learn to produce T. The gradient
passes through T to the generators.

Policies, ranges and borders are those of the authors' code. Every slot of the batch has
its own numbers, so that results do not depend on how slots are spread over devices.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cyclegan_jax.errors import UserError

POLICIES = ("color", "translation", "cutout")


class Draws(NamedTuple):
    """The random numbers of B images.

    Attributes:
      brightness: [B] in [-0.5, 0.5), added to all values.
      saturation: [B] in [0, 2), factor on the distance to a pixel's mean.
      contrast: [B] in [0.5, 1.5), factor on the distance to the image's mean.
      shift: [B, 2] int32, rows and columns that the image moves up and to the left, by
        at most an eighth of the side.
      centre: [B, 2] int32, row and column about which half of each side is cut out.
    """

    brightness: jax.Array
    saturation: jax.Array
    contrast: jax.Array
    shift: jax.Array
    centre: jax.Array


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to the images that a discriminator sees.

    Attributes:
      policies: of `POLICIES`, in the order in which they are applied.
      channels: of each picture, where an input is several of them side by side in its
        channels (a pair): all move and are cut alike, and get the same change of
        colour, each about its own mean. By default an input is one picture.
    """

    policies: tuple[str, ...]
    channels: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str, channels: tuple[int, ...] = ()) -> "Augmentation | None":
        """Returns the augmentation of a setting, or None for "".

        Args:
          text: policies, separated by commas.
          channels: see the class.

        Raises:
          UserError: a policy is not known, or is there twice.
        """
        if not text:
            return None
        policies = tuple(policy.strip() for policy in text.split(","))
        if set(policies) - set(POLICIES) or len(set(policies)) < len(policies):
            raise UserError(
                f"discriminator.augment is {text!r}; it can be any of"
                f" {', '.join(POLICIES)}, each once, separated by commas, or '' for no"
                " augmentation."
            )
        return cls(policies, channels)

    def __call__(self, images: jax.Array, keys: jax.Array) -> jax.Array:
        """Augments [B, H, W, C] in [-1, 1] by [B] PRNG keys."""
        _, height, width, _ = images.shape
        return self.apply(images, draw(keys, (height, width)))

    def apply(self, images: jax.Array, draws: Draws) -> jax.Array:
        """Augments [B, H, W, C] by these numbers."""
        for policy in self.policies:
            if policy == "color":
                ends = [sum(self.channels[: i + 1]) for i in range(len(self.channels))]
                pictures = jnp.split(images, ends[:-1], axis=-1)
                images = jnp.concatenate([_colour(x, draws) for x in pictures], axis=-1)
            elif policy == "translation":
                images = _translate(images, draws.shift)
            else:
                images = _cut_out(images, draws.centre)
        return images


def draw(keys: jax.Array, size: tuple[int, int]) -> Draws:
    """Draws the numbers of B images.

    Args:
      keys: [B] PRNG keys, one per slot.
      size: height and width of the images.
    """
    reach = jnp.array([_eighth(side) for side in size])
    # An odd cut has a middle pixel; an even one may also lie around the last border.
    places = jnp.array([side + 1 - _half(side) % 2 for side in size])

    def draw_one(key):
        colour, shift, centre = jax.random.split(key, 3)
        brightness, saturation, contrast = jax.random.uniform(colour, (3,))
        return Draws(
            brightness - 0.5,
            2.0 * saturation,
            contrast + 0.5,
            jax.random.randint(shift, (2,), -reach, reach + 1),
            jax.random.randint(centre, (2,), 0, places),
        )

    return jax.vmap(draw_one)(keys)


def _eighth(side):
    return int(side / 8 + 0.5)


def _half(side):
    return int(side / 2 + 0.5)


def _colour(images, draws):
    brightness, saturation, contrast = (
        x.reshape(-1, 1, 1, 1)
        for x in (draws.brightness, draws.saturation, draws.contrast)
    )
    images = images + brightness
    grey = jnp.mean(images, axis=-1, keepdims=True)
    images = grey + saturation * (images - grey)
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + contrast * (images - mean)


def _translate(images, shift):
    """Moves images; zeros (grey) come in at the border."""
    _, height, width, channels = images.shape
    rows, columns = _eighth(height), _eighth(width)
    border = ((0, 0), (rows, rows), (columns, columns), (0, 0))

    def crop(image, shift):
        start = (rows + shift[0], columns + shift[1], 0)
        return lax.dynamic_slice(image, start, (height, width, channels))

    return jax.vmap(crop)(jnp.pad(images, border), shift)


def _cut_out(images, centre):
    """Sets a rectangle of half of each side to zero (grey)."""

    def inside(axis):
        side = images.shape[axis]
        shape = [1, 1, 1, 1]
        shape[axis] = side
        place = jnp.arange(side).reshape(shape)
        start = centre[:, axis - 1].reshape(-1, 1, 1, 1) - _half(side) // 2
        return (place >= start) & (place < start + _half(side))

    return jnp.where(inside(1) & inside(2), 0.0, images)
