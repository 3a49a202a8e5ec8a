"""CycleGAN with components removed, replaced or added (Zhu et al. 2017, tables 4, 5).

    python train.py --config=configs/ablations.py:cycle_alone
    python train.py --config=configs/ablations.py:cityscapes+gan_alone \\
        --config.data.path=/data/cityscapes

| variant | change |
|---|---|
| `full` | none: adversarial and both cycle losses, the paper's CycleGAN (the default) |
| `cycle_alone` | no adversarial loss, no discriminators |
| `gan_alone` | no cycle loss |
| `gan_forward` | only the cycle labels to photo to labels (B to A to B) |
| `gan_backward` | only the cycle photo to labels to photo (A to B to A) |
| `identity` | with the identity loss, half the cycle's weight |
| `vanilla` | cross entropy instead of least squares |
| `no_pool` | no image pools: discriminators see only the newest images |
| `unet` | U-Nets instead of ResNets |
| `augment` | DiffAugment: brightness, saturation, contrast, translation, cutout |
| `spectral_norm` | discriminators' kernels divided by their largest singular value |
| `batch_head` | discriminators compare features with those of the last three images |
| `gradient_penalty` | zero-centred, weight 1 |
| `two_rates` | 5e-5 for generators, 1e-4 for discriminators |
| `constant_rate` | no decay |
| `ema` | average of the generators' weights, 0.9999 |
| `uvcgan2` | these but `two_rates`; no pools, a rate of 1e-4, beta2 0.99 |

From `augment` on, they are options (docs/training.md), trained with the identity loss:
compare them with `identity`. The last seven are of UVCGAN v2 (Torbunov et al. 2023).

(Here A are photographs. The paper does not define its X: in its figure 7, "GAN +
forward" collapses from photo to labels, the direction without a cycle, so its X are
labels.)

Data: `streets` (the default), `emoji`, `cityscapes` or `folder`, with the image size
and number of steps of their own configs, but without the identity loss, as in tables 4
and 5. docs/results.md has scores. `smoke` tests an installation in seconds.
"""

import ml_collections

from cyclegan_jax.runs import variants

DATA = ("streets", "emoji", "cityscapes", "folder")
ABLATIONS = {
    "full": {},
    "cycle_alone": {"loss.gan": 0.0},
    "gan_alone": {"loss.cycle_a": 0.0, "loss.cycle_b": 0.0},
    "gan_forward": {"loss.cycle_a": 0.0},
    "gan_backward": {"loss.cycle_b": 0.0},
    "identity": {"loss.identity": 0.5},
    "vanilla": {"loss.gan_mode": "vanilla"},
    "no_pool": {"pool_size": 0},
    "unet": {},  # Its size follows from the images.
}
OPTIONS = {
    "augment": {"discriminator.augment": "color,translation,cutout"},
    "spectral_norm": {"discriminator.spectral_norm": True},
    "batch_head": {"discriminator.queue_size": 3},
    "gradient_penalty": {"loss.gan_mode": "lsgan_gp", "loss.gradient_penalty": 1.0},
    "two_rates": {
        "optimizer.learning_rate": 5e-5,
        "optimizer.discriminator_rate": 1e-4,
    },
    "constant_rate": {"optimizer.policy": "constant"},
    "ema": {"ema_decay": 0.9999},
}
OPTIONS["uvcgan2"] = {
    **OPTIONS["spectral_norm"],
    **OPTIONS["batch_head"],
    **OPTIONS["gradient_penalty"],
    **OPTIONS["constant_rate"],
    **OPTIONS["ema"],
    "optimizer.learning_rate": 1e-4,
    "optimizer.beta2": 0.99,
    "pool_size": 0,
}
for name, changes in OPTIONS.items():
    ABLATIONS[name] = ABLATIONS["identity"] | changes


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns a setting; variants are data, one of `ABLATIONS`, and `smoke`."""
    data, ablation, smoke = variants.choose(
        variant, DATA, tuple(ABLATIONS), ("", "smoke")
    )
    config = variants.of_data(data)
    config.loss.identity = 0.0
    config.update_from_flattened_dict(ABLATIONS[ablation])
    if ablation == "unet":
        config.generator.name = f"unet_{config.data.crop_size}"
    return variants.variant_of(config, smoke)
