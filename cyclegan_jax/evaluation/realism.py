"""FID and KID: how much translated pictures look like real ones, as a set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cyclegan_jax import data
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import distances, features

REFERENCES = ("test", "train+test")
_AT_ONCE = 16  # Pictures whose features are computed together.


class Realism:
    """Compares translated pictures with a domain's real ones.

    Features of real pictures are computed once, for all checkpoints and conventions.

    Attributes:
      references: the real pictures that are compared with: `test`, `train+test`.
    """

    def __init__(
        self,
        extractor: features.Extractor,
        conventions: Sequence[str] = features.CONVENTIONS,
        references: Sequence[str] = ("test",),
    ):
        """Says what is to be measured.

        Args:
          extractor: of the features.
          conventions: of resizing, see `features`.
          references: the real pictures: `test`, or `train+test`.

        Raises:
          UserError: one of them is not known.
        """
        for given, known in (
            (conventions, features.CONVENTIONS),
            (references, REFERENCES),
        ):
            for name in given:
                if name not in known:
                    raise UserError(f"{name!r} is not one of {', '.join(known)}.")
        self._extractor = extractor
        self._conventions, self.references = conventions, tuple(references)
        self._real: dict[tuple, np.ndarray] = {}

    def measure(
        self, fakes: Sequence[np.ndarray], dataset: data.Dataset, transform: Any, b: str
    ) -> dict[str, float]:
        """Returns FID, KID and KID's standard error, by convention and reference.

        Args:
          fakes: uint8 [B, H, W, C] batches.
          dataset: with the real pictures.
          transform: how they are prepared, as the translated ones were.
          b: domain of the real pictures: "a" or "b".
        """
        metrics = {}
        for convention in self._conventions:
            fake = self._extractor(fakes, convention)
            for reference in self.references:
                splits = [f"{split}_{b}" for split in reference.split("+")]
                real = np.concatenate(
                    [self._features(dataset, s, transform, convention) for s in splits]
                )
                if min(len(fake), len(real)) < 3:
                    continue
                name = f"{convention}_{reference}"
                kid = distances.kid(fake, real)
                metrics[f"fid_{name}"] = distances.frechet(fake, real)
                metrics[f"kid_{name}"] = kid.value
                metrics[f"kid_standard_error_{name}"] = kid.standard_error
        return metrics

    def _features(self, dataset, split, transform, convention):
        key = (split, convention)
        if key not in self._real:
            source = getattr(dataset, split)
            if not len(source):
                return np.zeros((0, 2048))
            batches = data.eval_images(source, transform, batch_size=_AT_ONCE)
            self._real[key] = self._extractor((b for _, b in batches), convention)
        return self._real[key]
