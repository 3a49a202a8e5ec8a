"""The tables and their rows, one config each."""

import dataclasses

from cyclegan_jax.metrics import published


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
      key: its folder's name.
      title: its name in the paper.
      config: config file and variant; {data} stands for the data set.
      one_way: each direction is trained separately.
    """

    key: str
    title: str
    config: str
    one_way: bool = False

    @property
    def paper(self) -> dict[str, tuple[float, float, float]]:
        """Direction -> the scores in the paper; see `published.SCORES`.

        None of rows that are not in it.
        """
        return published.SCORES.get(self.key, {})


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: some rows in one direction.

    Attributes:
      title: of the table.
      direction: AtoB or BtoA.
      rows: of the table.
    """

    title: str
    direction: str
    rows: tuple[Row, ...]


def _ablation(key, title):
    return Row(key, title, f"ablations:{{data}}+{key}")


CYCLEGAN = Row("cyclegan", "CycleGAN", "ablations:{data}+full")
IDENTITY = _ablation("identity", "CycleGAN + identity")
COMPARISON = (
    Row("cogan", "CoGAN", "cogan:{data}"),
    Row("bigan", "BiGAN/ALI", "bigan:{data}"),
    Row("simgan", "SimGAN", "simgan:{data}", one_way=True),
    Row(
        "feature_gan",
        "Feature loss + GAN",
        "feature_gan:{data}",
        one_way=True,
    ),
    CYCLEGAN,
    Row("pix2pix", "pix2pix", "pix2pix:{data}", one_way=True),
    Row("cut", "CUT", "cut:{data}", one_way=True),
    Row("fastcut", "FastCUT", "cut:{data}+fastcut", one_way=True),
)
ABLATION = (
    _ablation("cycle_alone", "Cycle alone"),
    _ablation("gan_alone", "GAN alone"),
    _ablation("gan_forward", "GAN + forward cycle"),
    _ablation("gan_backward", "GAN + backward cycle"),
    CYCLEGAN,
    IDENTITY,
)
# DiffAugment and the options of UVCGAN v2; all have the identity loss.
OPTIONS = (
    IDENTITY,
    _ablation("augment", "+ DiffAugment"),
    _ablation("spectral_norm", "+ spectral norm"),
    _ablation("batch_head", "+ batch head"),
    _ablation("gradient_penalty", "+ gradient penalty"),
    _ablation("two_rates", "+ two rates"),
    _ablation("constant_rate", "+ constant rate"),
    _ablation("ema", "+ EMA 0.9999"),
    _ablation("uvcgan2", "+ all of UVCGAN v2"),
)
ROWS = {row.key: row for row in (*COMPARISON, *ABLATION, *OPTIONS)}
TABLES = (
    Table("Table 2: labels to photo, FCN scores", "BtoA", COMPARISON),
    Table("Table 3: photo to labels", "AtoB", COMPARISON),
    Table("Table 4: ablations, labels to photo, FCN scores", "BtoA", ABLATION),
    Table("Table 5: ablations, photo to labels", "AtoB", ABLATION),
    Table("Options, labels to photo, FCN scores", "BtoA", OPTIONS),
    Table("Options, photo to labels", "AtoB", OPTIONS),
)
# Where pairs are true and there are no classes.
PAIRED_TABLES = tuple(
    Table(f"{title}, {direction}", direction, rows)
    for title, rows in (
        ("Methods", COMPARISON),
        ("Ablations", ABLATION),
        ("Options", OPTIONS),
    )
    for direction in ("AtoB", "BtoA")
)
# Seconds of a row's training and evaluation on two CPU cores with --setting=quick; of
# CUT, FastCUT and `identity`, those of CycleGAN by the ratio of their steps; of the
# options, those of `identity` by the ratio of their seconds on one core.
SECONDS = {
    "cyclegan": 105,
    "identity": 125,
    "cogan": 410,
    "bigan": 75,
    "simgan": 55,
    "feature_gan": 165,
    "pix2pix": 100,
    "cut": 115,
    "fastcut": 75,
    "cycle_alone": 85,
    "gan_alone": 75,
    "gan_forward": 95,
    "gan_backward": 80,
    "augment": 120,
    "spectral_norm": 125,
    "batch_head": 150,
    "gradient_penalty": 120,
    "two_rates": 110,
    "constant_rate": 110,
    "ema": 120,
    "uvcgan2": 160,
}
