"""What the metrics are called, what they mean, and which way is better."""

from collections.abc import Callable

TEST = "test/"  # Metrics of the test split are called test/<direction>/<metric>.
_ERROR = "_standard_error"
# Endings of limits between which a metric lies, and what they mean.
_LIMITS = {
    "_of_real": "what the real pictures of that domain get: the most to expect",
    "_of_input": "what the inputs get as they are: doing nothing",
    "_by_chance": "what the true labels of another picture get",
}
# Last part of the name -> (unit, better, meaning of the metrics that end so).
_KINDS = {
    "l1": ("difference", "less", "mean difference of pixels, white being 1"),
    "psnr": ("dB", "more", "peak signal-to-noise ratio in decibels"),
    "ssim": ("score", "more", "structural similarity; 1 is equal"),
    "lpips": ("distance", "less", "difference as a network sees it (AlexNet, v0.1)"),
    "per_pixel": ("score", "more", "share of pixels with the right class"),
    "per_class": ("score", "more", "mean over classes of the share found"),
    "class_iou": ("score", "more", "mean over classes of intersection over union"),
    "fid": ("distance", "less", "Frechet inception distance"),
    "kid": ("distance", "less", "kernel inception distance"),
    "luminance_correlation": (
        "correlation",
        "",
        "of light and dark, inputs and outputs; -1 would be a negative",
    ),
    "diversity": ("share", "", "how much outputs vary, real images of it being 1"),
}
_AGAINST = {
    "cycle": "there and back again: ",
    "identity": "inputs through the generator of their own domain: ",
    "paired": "against the true picture: ",
    "fcn": "by a network that sees the generated photograph: ",
}


def kind(metric: str) -> str:
    """Returns what the metric belongs to: its name without limits and errors."""
    for ending in _LIMITS:
        metric = metric.removesuffix(ending)
    return metric


def _entry(metric):
    name = kind(metric)
    first = name.partition("_")[0]
    if first in ("fid", "kid"):
        return _KINDS[first]
    name = name.removeprefix(f"{first}_") if first in _AGAINST else name
    return _KINDS.get(name, ("value", "", ""))


def unit(metric: str) -> str:
    """Returns what an axis of this metric is called."""
    return _entry(metric)[0]


def better(metric: str) -> Callable | None:
    """Returns `min` or `max`, whichever is better; None for limits and checks."""
    if _ERROR in metric or metric != kind(metric):
        return None
    return {"less": min, "more": max}.get(_entry(metric)[1])


def meaning(metric: str) -> str:
    """Says in a few words what a metric is, and which way is better."""
    for ending, text in _LIMITS.items():
        if metric.endswith(ending):
            return text
    _, way, text = _entry(metric)
    first, _, rest = metric.partition("_")
    if first in ("fid", "kid"):
        if metric.startswith(f"{first}{_ERROR}"):
            rest, text, way = (
                rest.removeprefix("standard_error_"),
                "standard error of the estimate (jackknife)",
                "",
            )
        how, _, reference = rest.rpartition("_")
        text += f", resized as {how}, against the real {reference} images"
    text = _AGAINST.get(first, "") + text
    return f"{text}; {way} is better" if way else text
