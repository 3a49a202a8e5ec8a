"""What config files share: variants, the tiny `smoke` one, and configs of data sets."""

from collections.abc import Sequence

import ml_collections

from cyclegan_jax.cli import config_files


def smoke(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Shrinks a config so that a run takes seconds: 8 steps of tiny networks.

    Data set, method and losses stay.
    """
    config.data.load_size, config.data.crop_size = 36, 32
    config.data.max_images = 8
    config.data.streets_size = 32
    config.data.streets_train, config.data.streets_test = 8, 4
    kind, _, _ = config.generator.name.partition("_")
    if kind in ("unet", "coupled"):
        config.generator.name = f"{kind}_32"
    else:
        config.generator.name = "resnet_1blocks"
    config.generator.width = config.discriminator.width = 8
    if config.discriminator.name not in ("pixel", "coupled"):
        config.discriminator.name, config.discriminator.n_layers = "n_layers", 2
    config.optimizer.constant_epochs = config.optimizer.decay_epochs = 1
    config.max_steps = 8
    config.log_every_steps, config.sample_every_steps = 2, 4
    config.checkpoint_every_steps, config.keep_every_steps = 4, 0
    if config.evaluate_every_steps:
        config.evaluate_every_steps = 4
    config.num_samples = 2
    if config.method == "feature_gan":
        config.loss.vgg, config.loss.vgg_size = "random", 16
    config.cogan.inversion_steps = 8
    config.cut.layers, config.cut.width = "0,4,8,12", 16
    config.batch_size = min(config.batch_size, 2)
    return config


def choose(variant: str, *kinds: Sequence[str]) -> list[str]:
    """Splits a variant such as `facades+BtoA+smoke` into one choice of each kind.

    Args:
      variant: choices in any order, joined with plus signs.
      *kinds: the possible choices of each kind; the first one is the default.

    Raises:
      ValueError: a part is unknown, or two parts are of the same kind.
    """
    parts = set(filter(None, variant.split("+")))
    chosen = []
    for kind in kinds:
        named = parts & set(kind)
        if len(named) > 1:
            raise ValueError(f"variant {variant!r}: choose one of {', '.join(named)}")
        chosen.append(named.pop() if named else kind[0])
    if unknown := parts.difference(*kinds):
        known = ", ".join(name for kind in kinds for name in kind if name)
        raise ValueError(
            f"unknown variant {', '.join(sorted(unknown))!r}; choose from {known},"
            " joined with plus signs"
        )
    return chosen


def of_data(name: str, direction: str = "AtoB") -> ml_collections.ConfigDict:
    """Returns the config of a data set, to train another method on it.

    Args:
      name: of a config that comes with the package, such as streets.
      direction: for methods that learn one direction.
    """
    # The demo has settings that methods are not compared in.
    variant = "plain" if name == "streets" else ""
    config = config_files.load(config_files.shipped(name)).get_config(variant)
    config.direction = direction
    if not config.best_metric.startswith(direction):
        config.best_metric = ""  # It is not measured in this direction.
    return config


def variant_of(
    config: ml_collections.ConfigDict, variant: str, *others: str
) -> ml_collections.ConfigDict:
    """Applies the variant after the colon in `--config=configs/name.py:variant`.

    Args:
      config: what `smoke` is made of.
      variant: smoke, one of the `others`, or none.
      *others: variants that the caller has applied.

    Raises:
      ValueError: there is no such variant.
    """
    if variant == "smoke":
        return smoke(config)
    if variant and variant not in others:
        known = ", ".join((*others, "smoke"))
        raise ValueError(f"unknown variant {variant!r}; choose from {known}")
    return config
