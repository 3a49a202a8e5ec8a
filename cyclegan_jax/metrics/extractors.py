"""The feature networks of FID and KID, by name."""

from cyclegan_jax.metrics import fid_inception, vgg_features

EXTRACTORS = {
    extractor.name: extractor
    for extractor in (fid_inception.EXTRACTOR, vgg_features.EXTRACTOR)
}
