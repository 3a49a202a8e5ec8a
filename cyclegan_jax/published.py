"""Values that others have published, to be read beside ours.

None of them was measured exactly as ours are: each says what differs.
"""

_ZHU = (
    "Zhu et al. 2017, table {}; Cityscapes at 128x128, 500 test pairs, an FCN-8s on"
    " VGG-16: another network and resizing than here"
)
_MMGEN = (
    "the authors' PyTorch weights, by the README of mmgeneration: its own Inception"
    " weights and resizing"
)
_COMPRESSION = "README of gan-compression; other resizing"

_SCORES = ("per_pixel", "per_class", "class_iou")
_SUMMER, _HORSE = "cycle_gan/summer2winter_yosemite", "cycle_gan/horse2zebra"
# (data set, direction, metric) -> (value, source and what differs).
VALUES = {
    ("cityscapes", "AtoB", name): (value, _ZHU.format(3))
    for name, value in zip(_SCORES, (0.58, 0.22, 0.16), strict=True)
}
VALUES |= {
    ("cityscapes", "BtoA", f"fcn_{name}"): (value, _ZHU.format(2))
    for name, value in zip(_SCORES, (0.52, 0.17, 0.11), strict=True)
}
for _resizing in ("clean", "legacy_pytorch"):
    VALUES |= {
        (_SUMMER, "AtoB", f"fid_{_resizing}_test"): (77.342, _MMGEN),
        (_SUMMER, "BtoA", f"fid_{_resizing}_test"): (72.631, _MMGEN),
        (_HORSE, "AtoB", f"fid_{_resizing}_test"): (62.111, _MMGEN),
        (_HORSE, "BtoA", f"fid_{_resizing}_test"): (138.646, _MMGEN),
        (_HORSE, "AtoB", f"fid_{_resizing}_train+test"): (65.75, _COMPRESSION),
    }
