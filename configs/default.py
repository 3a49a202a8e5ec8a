"""The published settings, from the table in cyclegan_jax/runs/settings.py.

Other config files change only what differs. Any setting can also be changed on the
command line: `--config.batch_size=4`, `--config.data.path=/data/horse2zebra`.
"""

import ml_collections

from cyclegan_jax.runs import configuration
from cyclegan_jax.runs.variants import choose, of_data, smoke, variant_of

__all__ = ["choose", "get_config", "of_data", "smoke", "variant_of"]


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns CycleGAN as published, at 256x256; `data.dataset` is left to set."""
    return variant_of(configuration.defaults(), variant)
