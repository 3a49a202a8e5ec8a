"""The interface of measures: translations in, values of metrics out."""

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from cyclegan_jax import data
from cyclegan_jax.data.sources import ImageSource
from cyclegan_jax.directions import domains
from cyclegan_jax.images import PICTURES, DomainPixels
from cyclegan_jax.metrics.labels import Truth
from cyclegan_jax.metrics.metric import Metric


@dataclasses.dataclass(frozen=True)
class Batch:
    """Test images and their translations, [B, H, W, C] each, as they are stored.

    Attributes:
      names: of the images.
      real: the inputs.
      fake: their translations.
      cycle: the translations translated back, if there is a generator for it.
      identity: outputs of the generator of the inputs' own domain, if it accepts them.
      truth: the true images, where test pairs exist.
      mask: bool [B, H, W, 1], where translations should keep the input, if known.
    """

    names: list[str]
    real: np.ndarray
    fake: np.ndarray
    cycle: np.ndarray | None = None
    identity: np.ndarray | None = None
    truth: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """One direction of translation on a data set's test images.

    Attributes:
      direction: AtoB or BtoA.
      dataset: the real images.
      transform: preprocesses them like the inputs of the translation; of measured
        values it is given `pixels`, too.
      networks: name -> network with weights; see `evaluation.feature_networks`.
      references: the real images of FID and KID: `test`, `train+test`.
      truth: the classes of the test pairs, if known.
      pixels: "a" and "b" -> how their images are stored.
      features: split, domain and convention -> features of the real images, as far as
        computed; both directions of a data set can share them.
      test: domain -> its preprocessed test images, where they are shared, too.
    """

    direction: str
    dataset: data.Dataset
    transform: Callable[..., np.ndarray]
    networks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    references: Sequence[str] = ("test",)
    truth: Truth | None = None
    pixels: DomainPixels = PICTURES
    features: dict[tuple[str, str, str], np.ndarray] = dataclasses.field(
        default_factory=dict
    )
    test: dict[str, ImageSource] = dataclasses.field(default_factory=dict)

    @property
    def source(self) -> str:
        """The domain that is translated: "a" or "b"."""
        return domains(self.direction)[0]

    @property
    def target(self) -> str:
        """The domain that it is translated to: "a" or "b"."""
        return domains(self.direction)[1]

    def transform_of(self, domain: str) -> Callable[[np.ndarray, str], np.ndarray]:
        """The preprocessing of the images of a domain."""
        pixels = self.pixels[domain]
        if not pixels.measured:
            return self.transform
        return functools.partial(self.transform, pixels=pixels)

    def real(
        self, domain: str, split: str = "test", *, batch_size: int = 8
    ) -> Iterator[np.ndarray]:
        """Yields the preprocessed images of a domain, [B, H, W, C] as stored.

        Args:
          domain: "a" or "b".
          split: `train` or `test`.
          batch_size: the largest B.
        """
        if split == "test" and domain in self.test:
            batches = data.eval_images(self.test[domain], batch_size=batch_size)
        else:
            source = getattr(self.dataset, f"{split}_{domain}")
            transform = self.transform_of(domain)
            batches = data.eval_images(source, transform, batch_size=batch_size)
        return (images for _, images in batches)


class Measure(abc.ABC):
    """Computes metrics over all translations of one direction.

    One object is used for all checkpoints, so statistics of the real images are
    computed once. For each checkpoint: `reset`, `update` for each batch, `compute`.

    Attributes:
      metrics: all that `compute` may return, on any data.
    """

    metrics: ClassVar[Sequence[Metric]]

    @classmethod
    @abc.abstractmethod
    def create(cls, task: Task) -> "Measure | None":
        """Returns a measure for a task; None where there is nothing to measure."""

    @classmethod
    def notes(cls, task: Task) -> Iterator[str]:
        """Yields caveats about the metrics on these data, one sentence each."""
        yield from ()

    @abc.abstractmethod
    def reset(self) -> None:
        """Discards the accumulated translations."""

    @abc.abstractmethod
    def update(self, batch: Batch) -> None:
        """Adds translations."""

    @abc.abstractmethod
    def compute(self) -> dict[Metric, float]:
        """Returns the values over all translations since `reset`."""

    def warnings(self, values: Mapping[Metric, float]) -> Iterator[str]:
        """Yields sentences about values that look wrong.

        Args:
          values: what `compute` returned.
        """
        yield from ()
