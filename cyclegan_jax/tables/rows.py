"""What the rows of the tables are: a config each, and the paper's numbers."""

import dataclasses

Scores = tuple[float, float, float]  # Per-pixel and per-class accuracy, class IoU.


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
      key: its folder's name.
      title: its name in the paper.
      config: config file and variant; {data} stands for the data set.
      one_way: whether each direction is a training of its own.
      paper: direction -> the scores in Zhu et al. 2017: AtoB (photo to labels, tables 3
        and 5), BtoA (labels to photo, tables 2 and 4).
    """

    key: str
    title: str
    config: str
    paper: dict[str, Scores]
    one_way: bool = False


def _paper(photo: Scores, labels: Scores) -> dict[str, Scores]:
    return {"BtoA": photo, "AtoB": labels}


CYCLEGAN = Row(
    "cyclegan",
    "CycleGAN",
    "configs/ablations.py:{data}+full",
    _paper((0.52, 0.17, 0.11), (0.58, 0.22, 0.16)),
)
COMPARISON = (
    Row(
        "cogan",
        "CoGAN",
        "configs/cogan.py:{data}",
        _paper((0.40, 0.10, 0.06), (0.45, 0.11, 0.08)),
    ),
    Row(
        "bigan",
        "BiGAN/ALI",
        "configs/bigan.py:{data}",
        _paper((0.19, 0.06, 0.02), (0.41, 0.13, 0.07)),
    ),
    Row(
        "simgan",
        "SimGAN",
        "configs/simgan.py:{data}",
        _paper((0.20, 0.10, 0.04), (0.47, 0.11, 0.07)),
        one_way=True,
    ),
    Row(
        "feature_gan",
        "Feature loss + GAN",
        "configs/feature_gan.py:{data}",
        _paper((0.06, 0.04, 0.01), (0.50, 0.10, 0.06)),
        one_way=True,
    ),
    CYCLEGAN,
    Row(
        "pix2pix",
        "pix2pix",
        "configs/pix2pix.py:{data}",
        _paper((0.71, 0.25, 0.18), (0.85, 0.40, 0.32)),
        one_way=True,
    ),
)
ABLATION = (
    Row(
        "cycle_alone",
        "Cycle alone",
        "configs/ablations.py:{data}+cycle_alone",
        _paper((0.22, 0.07, 0.02), (0.10, 0.05, 0.02)),
    ),
    Row(
        "gan_alone",
        "GAN alone",
        "configs/ablations.py:{data}+gan_alone",
        _paper((0.51, 0.11, 0.08), (0.53, 0.11, 0.07)),
    ),
    Row(
        "gan_forward",
        "GAN + forward cycle",
        "configs/ablations.py:{data}+gan_forward",
        _paper((0.55, 0.18, 0.12), (0.49, 0.11, 0.07)),
    ),
    Row(
        "gan_backward",
        "GAN + backward cycle",
        "configs/ablations.py:{data}+gan_backward",
        _paper((0.39, 0.14, 0.06), (0.01, 0.06, 0.01)),
    ),
    CYCLEGAN,
)
ROWS = {row.key: row for row in (*COMPARISON, *ABLATION)}
# Number, title, direction and rows of each table.
TABLES = (
    (2, "labels to photo, FCN scores", "BtoA", COMPARISON),
    (3, "photo to labels", "AtoB", COMPARISON),
    (4, "ablations, labels to photo, FCN scores", "BtoA", ABLATION),
    (5, "ablations, photo to labels", "AtoB", ABLATION),
)
