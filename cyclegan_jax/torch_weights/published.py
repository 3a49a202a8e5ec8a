"""The published PyTorch models."""

import dataclasses

from cyclegan_jax.errors import UserError

_CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"
_PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/models-pytorch"


@dataclasses.dataclass(frozen=True)
class Model:
    """A published generator.

    Attributes:
      url: where the authors keep it. They publish no checksums, and a transfer over
        plain HTTP proves nothing: the SHA-256 of what came is printed and kept in the
        run's run.json, and `--sha256` demands a certain one.
      config: the config file of its data set, without ".py", and a variant after a
        colon.
      generator: our name of it in that config: `g_ab` or `g_ba`.
    """

    url: str
    config: str
    generator: str


def _models():
    both_ways = {
        "apple2orange": ("apple2orange", "g_ab"),
        "orange2apple": ("apple2orange", "g_ba"),
        "summer2winter_yosemite": ("summer2winter_yosemite", "g_ab"),
        "winter2summer_yosemite": ("summer2winter_yosemite", "g_ba"),
        "horse2zebra": ("horse2zebra", "g_ab"),
        "zebra2horse": ("horse2zebra", "g_ba"),
        "monet2photo": ("monet2photo", "g_ab"),
        "style_monet": ("monet2photo", "g_ba"),
        "style_cezanne": ("cezanne2photo", "g_ba"),
        "style_ukiyoe": ("ukiyoe2photo", "g_ba"),
        "style_vangogh": ("vangogh2photo", "g_ba"),
        "sat2map": ("maps", "g_ab"),
        "map2sat": ("maps", "g_ba"),
        "cityscapes_photo2label": ("cityscapes", "g_ab"),
        "cityscapes_label2photo": ("cityscapes", "g_ba"),
        "facades_photo2label": ("facades", "g_ab"),
        "facades_label2photo": ("facades", "g_ba"),
        "iphone2dslr_flower": ("iphone2dslr_flower", "g_ab"),
    }
    paired = {
        "pix2pix_edges2shoes": ("pix2pix:folder", "g_ab"),
        "pix2pix_sat2map": ("pix2pix:maps", "g_ab"),
        "pix2pix_map2sat": ("pix2pix:maps+BtoA", "g_ba"),
        "pix2pix_facades_label2photo": ("pix2pix:facades+BtoA", "g_ba"),
        "pix2pix_day2night": ("pix2pix:folder", "g_ab"),
    }
    models = {n: Model(f"{_CYCLEGAN}/{n}.pth", *rest) for n, rest in both_ways.items()}
    for name, rest in paired.items():
        url = f"{_PIX2PIX}/{name.removeprefix('pix2pix_')}.pth"
        models[name] = Model(url, *rest)
    return models


MODELS = _models()


def find(name: str) -> Model:
    """Returns the published model of that name.

    Raises:
      UserError: there is none; lists them.
    """
    if name not in MODELS:
        raise UserError(
            f"there is no published model {name!r}; there are {', '.join(MODELS)}."
        )
    return MODELS[name]
