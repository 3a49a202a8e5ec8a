"""The losses of all methods, as logged to metrics.jsonl."""

from cyclegan_jax.metrics.metric import Metric

_WEIGHTED = "weighted loss"


def _losses(chart, unit, **meanings):
    return tuple(
        Metric(key, unit, meaning, chart=chart, curve=key)
        for key, meaning in meanings.items()
    )


METRICS = (
    *_losses(
        "Adversarial, generators",
        _WEIGHTED,
        g_ab="adversarial loss of the generator from A to B",
        g_ba="adversarial loss of the generator from B to A",
        g="adversarial loss of the coupled generators",
    ),
    *_losses(
        "Adversarial, discriminators",
        "loss",
        d_a="loss of the discriminator of images of A",
        d_b="loss of the discriminator of images of B",
        d_ab="loss of the discriminator of pairs",
        d="loss of the coupled discriminators",
    ),
    *_losses(
        "Cycle",
        _WEIGHTED,
        cycle_a="L1 of images of A after A to B to A",
        cycle_b="L1 of images of B after B to A to B",
    ),
    *_losses(
        "Identity",
        _WEIGHTED,
        identity_a="L1 of images of A through the generator from B to A",
        identity_b="L1 of images of B through the generator from A to B",
    ),
    *_losses(
        "Distance",
        _WEIGHTED,
        l1="L1 between translations and true images",
        content="L1 between translations and inputs, in pixels or features",
        structure_a="structure distance between images of A and their translations",
        structure_b="structure distance between images of B and their translations",
        keep_a="L1 between images of A and their translations, inside their masks",
        keep_b="L1 between images of B and their translations, inside their masks",
    ),
    *_losses(
        "Overfitting of discriminators",
        "r_t",
        overfitting_d_a="r_t of ADA for real images of A; 1 is certain",
        overfitting_d_b="r_t of ADA for real images of B; 1 is certain",
        overfitting_d_ab="r_t of ADA for the generator's pairs; 1 is certain",
        overfitting_d="r_t of ADA for real images of both domains; 1 is certain",
    ),
    *_losses(
        "Contrast",
        _WEIGHTED,
        nce="cross entropy between patches of translations and of their inputs",
        nce_identity="the same for images of the target domain",
    ),
    *_losses(
        "Learning rate",
        "learning rate",
        learning_rate="of the step just finished",
    ),
)
