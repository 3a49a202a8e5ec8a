"""What the metrics mean, and values that others have published."""

_ZHU = "Zhu et al. 2017, table 3: FCN-8s classes, 128x128; not the same protocol"
_CUT = "Park et al. 2020, table 1: other weights of Inception or resizing may differ"
# (data set, direction, metric) -> (value, source and what differs).
VALUES = {
    ("cityscapes", "AtoB", "per_pixel"): (0.58, _ZHU),
    ("cityscapes", "AtoB", "per_class"): (0.22, _ZHU),
    ("cityscapes", "AtoB", "class_iou"): (0.16, _ZHU),
    ("cycle_gan/horse2zebra", "AtoB", "fid_clean_test"): (77.2, _CUT),
    ("cycle_gan/horse2zebra", "AtoB", "fid_legacy_pytorch_test"): (77.2, _CUT),
}

_MEANINGS = {
    "cycle_l1": "there and back again: mean difference, white being 1; less is better",
    "cycle_psnr": "the same in decibels; more is better",
    "identity_l1": "an image of the output domain, translated: mean difference",
    "identity_psnr": "the same in decibels",
    "paired_l1": "against the true picture: mean difference; less is better",
    "paired_psnr": "the same in decibels; more is better",
    "paired_ssim": "structural similarity to the true picture; 1 is equal",
    "per_pixel": "share of pixels with the right class",
    "per_class": "mean over classes of the share found",
    "class_iou": "mean over classes of intersection over union",
    "luminance_correlation": "of inputs and outputs; -1 would be a negative",
    "diversity": "how much outputs vary, real images of that domain being 1",
}


def meaning(metric: str) -> str:
    """Says in a few words what a metric is."""
    kind, _, rest = metric.partition("_")
    if kind in ("fid", "kid"):
        how, _, against = rest.removeprefix("standard_error_").rpartition("_")
        text = {
            "fid": "Frechet inception distance; less is better",
            "kid": "kernel inception distance; less is better",
        }[kind]
        if rest.startswith("standard_error_"):
            text = "standard error of the estimate (jackknife)"
        return f"{text}; resized as {how}, against the real {against} images"
    if metric.endswith("_by_chance"):
        return "what the true labels of another picture get"
    return _MEANINGS.get(metric, "")
