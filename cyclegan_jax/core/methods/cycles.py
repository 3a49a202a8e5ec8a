"""The images that generators make in a step of CycleGAN."""

from collections.abc import Mapping

from cyclegan_jax.core.methods.phases import Arrays, Networks

# Each with its generator and its input: in the reference's order, on which running
# statistics and dropout depend.
TRANSLATIONS = {
    "fake_b": ("g_ab", "real_a"),
    "cycle_a": ("g_ba", "fake_b"),
    "fake_a": ("g_ba", "real_b"),
    "cycle_b": ("g_ab", "fake_a"),
    "identity_b": ("g_ab", "real_b"),
    "identity_a": ("g_ba", "real_a"),
}
# Without those, three passes can make them.
PASSES = (("fake_b", "identity_b"), ("cycle_a", "fake_a", "identity_a"), ("cycle_b",))


def translate(net: Networks, images: Arrays, weights: Mapping[str, float]) -> Arrays:
    """Adds the images of `TRANSLATIONS`.

    Args:
      net: the networks.
      images: `real_a` and `real_b`, each [B, H, W, C]; others are passed on.
      weights: of the terms that images are made for; those of weight 0 are not made.
    """
    few = net.in_few_passes("g_ab", "g_ba")
    for together in PASSES if few else zip(TRANSLATIONS):
        names = [name for name in together if weights.get(name, 1)]
        if names:
            generator = TRANSLATIONS[names[0]][0]
            inputs = (images[TRANSLATIONS[name][1]] for name in names)
            outputs = net.each(generator, *inputs)
            images = images | dict(zip(names, outputs, strict=True))
    return images
