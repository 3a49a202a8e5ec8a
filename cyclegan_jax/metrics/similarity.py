"""Translations against what they should be: cycle, identity and true pairs."""

import numpy as np

from cyclegan_jax.images import PICTURE, Pixels
from cyclegan_jax.metrics import pictures
from cyclegan_jax.metrics.measure import Batch, Measure, Task
from cyclegan_jax.metrics.metric import Metric

_L1 = "difference", "mean absolute difference of pixels, white being 1", min
_PSNR = "dB", "peak signal-to-noise ratio in decibels", max
_SSIM = "score", "structural similarity; 1 for equal images", max
_LPIPS = "distance", "LPIPS 0.1 on AlexNet (Zhang et al. 2018)", min
_COMPARED = {
    "cycle": ("translated there and back", {"l1": _L1, "psnr": _PSNR}),
    "identity": ("inputs through the other generator", {"l1": _L1, "psnr": _PSNR}),
    "paired": (
        "against the true image",
        {"l1": _L1, "psnr": _PSNR, "ssim": _SSIM, "lpips": _LPIPS},
    ),
    "kept": ("inside the masks, against the inputs", {"l1": _L1}),
}
# What is compared -> how -> metric.
METRICS = {
    what: {
        how: Metric(f"{what}_{how}", unit, f"{where}: {meaning}", better)
        for how, (unit, meaning, better) in hows.items()
    }
    for what, (where, hows) in _COMPARED.items()
}
# Baseline of "paired" -> how -> metric.
BASELINES = {
    ending: {
        how: metric.baseline(ending, what) for how, metric in METRICS["paired"].items()
    }
    for ending, what in (
        ("of_input", "baseline: the unmodified inputs against the true images"),
        ("by_chance", "baseline: the true images of other inputs against them"),
    )
}


class Similarity(Measure):
    """L1, PSNR, SSIM and LPIPS, averaged over images, with baselines of true pairs."""

    metrics = tuple(
        metric
        for hows in (*METRICS.values(), *BASELINES.values())
        for metric in hows.values()
    )

    def __init__(self, lpips=None, source: Pixels = PICTURE, target: Pixels = PICTURE):
        """Takes an `LPIPS`, if there is one, and how the two domains are stored."""
        self._lpips, self._source, self._target = lpips, source, target
        self._baselines: dict[Metric, float] | None = None
        self.reset()

    @classmethod
    def create(cls, task: Task) -> "Similarity":
        """See `Measure`."""
        pixels = task.pixels
        return cls(task.networks.get("lpips"), pixels[task.source], pixels[task.target])

    def reset(self) -> None:
        """See `Measure`."""
        self._values: dict[Metric, list[np.ndarray]] = {}
        self._truth: np.ndarray | None = None

    def update(self, batch: Batch) -> None:
        """Compares where there is something to compare with."""
        for what, images in (("cycle", batch.cycle), ("identity", batch.identity)):
            if images is not None:
                values = pictures.compare(images, batch.real, pixels=self._source)
                self._keep(METRICS[what], values)
        if batch.truth is not None:
            self._keep(METRICS["paired"], self._compare(batch.fake, batch.truth))
            if self._baselines is None:  # They are those of every checkpoint.
                self._compare_baselines(batch.real, batch.truth)
        if batch.mask is not None:
            both = self._source.to_unit(batch.real), self._target.to_unit(batch.fake)
            kept = pictures.l1_inside(*both, batch.mask)
            if len(kept):
                self._values.setdefault(METRICS["kept"]["l1"], []).append(kept)

    def _compare_baselines(self, real, truth):
        if self._source == self._target and real.shape == truth.shape:
            self._keep(BASELINES["of_input"], self._compare(real, truth))
        last, self._truth = self._truth, truth[-1:]
        if last is None or last.shape[1:] != truth.shape[1:]:
            last = truth[:0]
        others = np.concatenate([last, truth])[:-1]
        if len(others):
            values = self._compare(others, truth[len(truth) - len(others) :])
            self._keep(BASELINES["by_chance"], values)

    def _compare(self, images, truth):
        values = pictures.compare(images, truth, ssim=True, pixels=self._target)
        if self._lpips and min(images.shape[1:3]) >= self._lpips.minimum:
            values["lpips"] = self._lpips(images, truth)
        return values

    def _keep(self, metrics, values):
        for how, per_image in values.items():
            self._values.setdefault(metrics[how], []).append(per_image)

    def compute(self) -> dict[Metric, float]:
        """Returns means over images."""
        kept = self._values.items()
        means = {metric: float(np.mean(np.concatenate(v))) for metric, v in kept}
        if self._baselines is None:
            known = [metric for hows in BASELINES.values() for metric in hows.values()]
            self._baselines = {m: means[m] for m in known if m in means}
        means |= self._baselines
        return {metric: means[metric] for metric in self.metrics if metric in means}
