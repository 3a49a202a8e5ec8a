"""CUT and FastCUT (Park et al. 2020): contrast between patches instead of a cycle.

    python train.py --config=configs/cut.py                         # CUT on streets
    python train.py --config=configs/cut.py:horse2zebra+fastcut
    python train.py --config=configs/cut.py:folder --config.data.path=/data/my_set

As published: anti-aliased networks, Xavier initialisation, no pool, 200 epochs and 200
of decay (FastCUT: 150 and 50). On `streets` and `emoji`, networks, image size and
number of steps are those of their own configs. `BtoA` chooses the other direction. It
has not been run at full length here. `smoke` tests an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "horse2zebra", "cityscapes", "facades", "maps", "folder")
KINDS = ("cut", "fastcut")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns the published setting.

    Args:
      variant: data, direction, `cut` or `fastcut`, and `smoke`.
    """
    data, direction, kind, smoke = variants.choose(
        variant, DATA, ("AtoB", "BtoA"), KINDS, ("", "smoke")
    )
    config = variants.of_data(data, direction)
    config.method = "cut"
    config.pool_size = 0
    config.generator.antialias = config.generator.antialias_up = True
    config.discriminator.antialias = True
    config.generator.init_type = config.discriminator.init_type = "xavier"
    epochs = {"cut": (200, 200), "fastcut": (150, 50)}[kind]
    if kind == "fastcut":
        config.loss.nce, config.loss.nce_identity = 10.0, 0.0
        config.cut.flip_equivariance = True
    if data in ("streets", "emoji"):
        config.cut.layers = "0,4,8,12,14"  # Of three blocks, the first and the last.
    else:
        config.optimizer.constant_epochs, config.optimizer.decay_epochs = epochs
    return variants.variant_of(config, smoke)
