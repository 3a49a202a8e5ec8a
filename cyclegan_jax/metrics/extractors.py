"""The feature networks of FID, KID and structure distance, by name."""

import functools

from cyclegan_jax.core.networks.published import PUBLISHED
from cyclegan_jax.metrics import fid_inception
from cyclegan_jax.metrics.features import Extractor, resize

_SIDE = 224  # Pixels: of the images in the training of the networks below.
_MIDDLE = {"vgg16": 128.0}  # As in FID; kept, so that values stay comparable.


def _extractor(network):
    middle = _MIDDLE.get(network.name, 127.5)
    prepare = functools.partial(resize, side=_SIDE, middle=middle)
    return Extractor(network, {network.name: prepare})


EXTRACTORS = {
    extractor.name: extractor
    for extractor in (
        fid_inception.EXTRACTOR,
        *map(_extractor, PUBLISHED.values()),
    )
}
