"""Batches of training pairs as a pure function of (seed, step), built on Grain.

Element n of the endless stream of training pairs depends on (seed, n) alone, and the
batch of step t consists of the elements t * batch_size + slot, one for each slot of the
global batch. To resume, only the step has to be saved, on any number of hosts; each
host reads only its own slots.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple

import grain
import numpy as np

from cyclegan_jax.data.cache import map_in_order
from cyclegan_jax.data.masks import split_off
from cyclegan_jax.data.preprocess import Preprocess
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.errors import UserError


class _Element(NamedTuple):
    a: np.ndarray
    b: np.ndarray
    name_a: str
    name_b: str


class TrainBatches:
    """The training batches, with random access by step.

    One epoch is max(|A|, |B|) elements. It uses every image of the larger set once
    (every image of A, if B is sampled at random), in an order reshuffled every epoch,
    and repeats the images of A if they are fewer. Batches continue across epochs.

    Attributes:
      epoch_size: elements in an epoch.
      steps_per_epoch: global batches in an epoch, rounded up.
    """

    def __init__(
        self,
        source_a: ImageSource,
        source_b: ImageSource,
        transform: Preprocess,
        *,
        seed: int,
        batch_size: int,
        slots: range | None = None,
        paired: bool = False,
        sample_b: Literal["random", "shuffle"] = "random",
        masked: Collection[str] = (),
        num_threads: int = 2,
        prefetch: int = 4,
    ):
        """Sets up the stream; reads no image yet.

        Args:
          source_a: loaded images of A (`CachedSource`).
          source_b: loaded images of B.
          transform: its `augment` applies crops and flips, independently for A and
            B; with `paired`, its `augment_pair`.
          seed: any number from 0 on.
          batch_size: elements in the global batch, over all hosts.
          slots: the slots of the global batch that this host reads; by default all.
          paired: image i of A goes with image i of B.
          sample_b: how images of B are chosen. `random`: sampled with replacement, as
            in the published code; `shuffle`: each image once before any is repeated.
          masked: "a", "b": domains whose images have a mask as their last channel.
          num_threads: threads in which `iterate` prepares batches.
          prefetch: batches that `iterate` prepares ahead; 0 for none.

        Raises:
          UserError: a set is empty, pairs do not match up, or an argument is out of
            range.
        """
        slots = range(batch_size) if slots is None else slots
        _check_arguments(source_a, source_b, seed, batch_size, paired, sample_b)
        if not slots or min(slots) < 0 or max(slots) >= batch_size:
            raise ValueError(f"{slots} are not slots of a batch of {batch_size}")
        self.epoch_size = max(len(source_a), len(source_b))
        self.steps_per_epoch = -(-self.epoch_size // batch_size)
        self._source_a, self._source_b = source_a, source_b
        self._transform, self._paired = transform, paired
        self._batch_size, self._slots, self._masked = batch_size, slots, masked
        self._read_options = grain.ReadOptions(
            num_threads=min(num_threads, prefetch), prefetch_buffer_size=prefetch
        )
        # Explicit seeds, because Grain's derived seeds may change between versions.
        seed_a, seed_b, seed_element = np.random.SeedSequence(seed).generate_state(3)
        order_a = _endless_shuffle(self.epoch_size, seed_a)
        order_b = (
            _endless_shuffle(len(source_b), seed_b) if sample_b == "shuffle" else None
        )
        self._elements = order_a.map_with_index(
            lambda n, i: (i, None if order_b is None else order_b[n])
        ).random_map(self._element, seed=int(seed_element))
        self._first: _Element | None = None
        self._batches = grain.MapDataset.range(sys.maxsize).map(self._batch)

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        """This host's part of the batch of a step (counted from 0).

        Returns:
          {"a": uint8 [len(slots), H, W, C_a], "b": uint8 [len(slots), H, W, C_b]}; of
          `masked` domains also "mask_a", "mask_b": bool [len(slots), H, W, 1].

        Raises:
          UserError: an image is damaged, or differs in size from the first ones.
        """
        return self._batches[step]

    def iterate(self, start_step: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Yields self[start_step], self[start_step + 1], ... without end.

        Batches are prepared in background threads. `close()` stops them; an iterator
        that is simply dropped does not prevent the program from exiting.
        """
        batches = self._batches[start_step:].to_iter_dataset(self._read_options)
        return iter(batches)

    def _element(
        self, indices: tuple[int, int | None], rng: np.random.Generator
    ) -> _Element:
        """Reads, crops and flips the images of one element."""
        i, index_b = indices
        index_a = i % len(self._source_a)
        if self._paired:
            index_b = index_a
        elif index_b is None:
            index_b = int(rng.integers(len(self._source_b)))
        a, b = self._source_a[index_a], self._source_b[index_b]
        if self._paired:
            a, b = self._transform.augment_pair(a, b, rng)
        else:
            a, b = self._transform.augment(a, rng), self._transform.augment(b, rng)
        return _Element(
            a, b, self._source_a.names[index_a], self._source_b.names[index_b]
        )

    def _batch(self, step: int) -> dict[str, np.ndarray]:
        first = step * self._batch_size
        elements = [self._elements[first + slot] for slot in self._slots]
        self._first = self._first or elements[0]  # All others must have the same size.
        _check_sizes([self._first, *elements])
        batch = {
            "a": np.stack([element.a for element in elements]),
            "b": np.stack([element.b for element in elements]),
        }
        for domain in self._masked:
            batch[domain], batch[f"mask_{domain}"] = split_off(batch[domain])
        return batch


def eval_images(
    source: ImageSource,
    transform: Callable[[np.ndarray, str], np.ndarray] = lambda image, name: image,
    *,
    batch_size: int = 1,
    num_threads: int = 2,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields all images in order, in batches of images of equal size.

    Args:
      source: images, as stored or preprocessed.
      transform: what `test_transform` returns, for stored ones.
      batch_size: maximum number of images per batch. A batch is smaller where the image
        size changes, and at the end.
      num_threads: threads that decode ahead.

    Yields:
      names and uint8 [n, H, W, C], n <= batch_size.
    """
    loaded = map_in_order(
        lambda i: transform(source[i], source.names[i]), len(source), num_threads
    )
    names: list[str] = []
    images: list[np.ndarray] = []
    for name, image in zip(source.names, loaded, strict=True):
        if images and (len(images) == batch_size or image.shape != images[0].shape):
            yield names, np.stack(images)
            names, images = [], []
        names.append(name)
        images.append(image)
    if images:
        yield names, np.stack(images)


def _endless_shuffle(count: int, seed: np.uint32) -> grain.MapDataset:
    """0 ... count - 1, repeated endlessly and reshuffled each time."""
    return grain.MapDataset.range(count).shuffle(seed=int(seed)).repeat()


def _check_arguments(
    source_a: ImageSource,
    source_b: ImageSource,
    seed: int,
    batch_size: int,
    paired: bool,
    sample_b: str,
) -> None:
    if not len(source_a) or not len(source_b):
        raise UserError(
            f"there is nothing to train on: {len(source_a)} images of A and "
            f"{len(source_b)} of B"
        )
    if paired and len(source_a) != len(source_b):
        raise UserError(
            f"paired training needs as many images of A as of B, not {len(source_a)} "
            f"and {len(source_b)}"
        )
    if seed < 0:
        raise UserError(f"seed is {seed}; it must not be negative")
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    if sample_b not in ("random", "shuffle"):
        raise UserError(f"sample_b is {sample_b!r}; it can be random or shuffle")


def _check_sizes(elements: Sequence[_Element]) -> None:
    """Refuses images, of A or B, that differ in height or width."""
    images = [(e.name_a, e.a) for e in elements] + [(e.name_b, e.b) for e in elements]
    name, image = images[0]
    for other_name, other in images[1:]:
        if other.shape[:2] != image.shape[:2]:
            raise UserError(
                f"all images must have one size, but {name} has "
                f"{image.shape[1]}x{image.shape[0]} pixels and {other_name} "
                f"{other.shape[1]}x{other.shape[0]}: set config.data.preprocess to "
                "'resize_and_crop', 'crop' or 'scale_width_and_crop'"
            )
