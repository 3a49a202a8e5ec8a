"""The rows of the tables, one config each."""

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


CYCLEGAN = Row("cyclegan", "CycleGAN", "ablations:{data}+full")
IDENTITY = Row("identity", "CycleGAN + identity", "ablations:{data}+identity")
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
_ABLATIONS = {
    "cycle_alone": "Cycle alone",
    "gan_alone": "GAN alone",
    "gan_forward": "GAN + forward cycle",
    "gan_backward": "GAN + backward cycle",
}
ABLATION = (
    *(
        Row(key, title, f"ablations:{{data}}+{key}")
        for key, title in _ABLATIONS.items()
    ),
    CYCLEGAN,
    IDENTITY,
)
_OPTIONS = {
    "augment": "DiffAugment",
    "spectral_norm": "spectral norm",
    "batch_head": "batch head",
    "gradient_penalty": "gradient penalty",
    "two_rates": "two rates",
    "constant_rate": "constant rate",
    "ema": "EMA 0.9999",
    "uvcgan2": "UVCGAN v2's options",
}
# DiffAugment and the options of UVCGAN v2, beside CycleGAN with the identity loss.
OPTIONS = (
    IDENTITY,
    *(
        Row(key, f"+ {title}", f"ablations:{{data}}+{key}")
        for key, title in _OPTIONS.items()
    ),
)
ROWS = {row.key: row for row in (*COMPARISON, *ABLATION, *OPTIONS)}
# Number, title, direction and rows of each table.
TABLES = (
    (2, "labels to photo, FCN scores", "BtoA", COMPARISON),
    (3, "photo to labels", "AtoB", COMPARISON),
    (4, "ablations, labels to photo, FCN scores", "BtoA", ABLATION),
    (5, "ablations, photo to labels", "AtoB", ABLATION),
)
# Seconds of a row's training and evaluation on two CPU cores with --setting=quick; of
# CUT, FastCUT, `identity` and the options, those of CycleGAN by the ratio of their steps.
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
    "augment": 130,
    "spectral_norm": 130,
    "batch_head": 130,
    "gradient_penalty": 200,
    "two_rates": 125,
    "constant_rate": 125,
    "ema": 125,
    "uvcgan2": 210,
}
