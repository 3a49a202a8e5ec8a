"""Published values, to be read beside ours.

None of them was measured exactly as ours are: each comes with the difference.
"""

from cyclegan_jax.metrics import class_scores, fid_inception, realism

_ZHU = "Zhu et al. 2017, table {}; 500 test pairs at 128x128, "
_DIFFERENCE = {
    "AtoB": "other resizing than here",
    "BtoA": "by an FCN-8s on VGG-16: another network than here",
}
_MMGEN = (
    "the authors' PyTorch weights, by the README of mmgeneration: its own Inception"
    " weights and resizing"
)
_COMPRESSION = "README of gan-compression; other resizing"

# Per-pixel accuracy, per-class accuracy and class IoU on Cityscapes in Zhu et al. 2017:
# of labels to photo (BtoA, tables 2 and 4), and of photo to labels (AtoB, 3 and 5).
SCORES = {
    "cogan": {"BtoA": (0.40, 0.10, 0.06), "AtoB": (0.45, 0.11, 0.08)},
    "bigan": {"BtoA": (0.19, 0.06, 0.02), "AtoB": (0.41, 0.13, 0.07)},
    "simgan": {"BtoA": (0.20, 0.10, 0.04), "AtoB": (0.47, 0.11, 0.07)},
    "feature_gan": {"BtoA": (0.06, 0.04, 0.01), "AtoB": (0.50, 0.10, 0.06)},
    "cyclegan": {"BtoA": (0.52, 0.17, 0.11), "AtoB": (0.58, 0.22, 0.16)},
    "pix2pix": {"BtoA": (0.71, 0.25, 0.18), "AtoB": (0.85, 0.40, 0.32)},
    "cycle_alone": {"BtoA": (0.22, 0.07, 0.02), "AtoB": (0.10, 0.05, 0.02)},
    "gan_alone": {"BtoA": (0.51, 0.11, 0.08), "AtoB": (0.53, 0.11, 0.07)},
    "gan_forward": {"BtoA": (0.55, 0.18, 0.12), "AtoB": (0.49, 0.11, 0.07)},
    "gan_backward": {"BtoA": (0.39, 0.14, 0.06), "AtoB": (0.01, 0.06, 0.01)},
}

_SUMMER, _HORSE = "cycle_gan/summer2winter_yosemite", "cycle_gan/horse2zebra"
# Method -> (data set, direction, metric) -> (value, source and what differs).
VALUES = {
    method: {
        ("cityscapes", way, metric.key): (value, _ZHU.format(table) + _DIFFERENCE[way])
        for way, table in (("AtoB", 3), ("BtoA", 2))
        for metric, value in zip(
            class_scores.METRICS[way].scores.values(), SCORES[method][way], strict=True
        )
    }
    for method in ("cyclegan", "cogan", "bigan", "simgan", "feature_gan", "pix2pix")
}
for _convention in fid_inception.EXTRACTOR.prepare:
    _test, _all = (
        realism.fid(_convention, reference).key for reference in realism.REFERENCES
    )
    VALUES["cyclegan"] |= {
        (_SUMMER, "AtoB", _test): (77.342, _MMGEN),
        (_SUMMER, "BtoA", _test): (72.631, _MMGEN),
        (_HORSE, "AtoB", _test): (62.111, _MMGEN),
        (_HORSE, "BtoA", _test): (138.646, _MMGEN),
        (_HORSE, "AtoB", _all): (65.75, _COMPRESSION),
    }
# Of all test images, 120 translations and 140 real ones.
VALUES["cut"] = {
    (_HORSE, "AtoB", realism.fid("legacy_pytorch").key): (
        45.5,
        "Park et al. 2020, table 1: CUT (FastCUT: 73.4)",
    ),
    (_HORSE, "AtoB", realism.fid("clean").key): (
        43.71,
        "the authors' weights, by the README of clean-fid: CUT (FastCUT: 72.53)",
    ),
}
