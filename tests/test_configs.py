"""Every variant of every config describes something that can be built."""

import importlib
import itertools

import pytest

from configs import ablations, cogan, cut, default, pix2pix, streets
from cyclegan_jax.core import augmentation, optimizers
from cyclegan_jax.runs import configuration
from cyclegan_jax.runs.experiment import Experiment, build_method

METHODS = ("pix2pix", "simgan", "feature_gan", "bigan", "cogan", "cut", "ablations")


def variants(name):
    module = importlib.import_module(f"configs.{name}")
    for data in module.DATA:
        if name == "ablations":
            yield from (f"{data}+{ablation}" for ablation in ablations.ABLATIONS)
        elif name in ("bigan", "cogan"):
            yield data
        elif name == "cut":
            ways = itertools.product(("AtoB", "BtoA"), module.KINDS)
            yield from (f"{data}+{way}+{kind}" for way, kind in ways)
        else:
            yield from (f"{data}+{direction}" for direction in ("AtoB", "BtoA"))


@pytest.mark.parametrize("name", METHODS)
def test_every_variant_can_be_built(name):
    module = importlib.import_module(f"configs.{name}")
    for variant, smoke in itertools.product(variants(name), ("", "+smoke")):
        config = module.get_config(variant + smoke)
        if name == "feature_gan":
            config.loss.vgg = "random"
        method = Experiment.of(config).method
        expected = "cyclegan" if name == "ablations" else name
        assert config.method == expected
        assert (config.max_steps == 8) == bool(smoke)
        if "BtoA" in variant:
            assert set(method.translations) == {"BtoA"}
            assert not config.best_metric.startswith("AtoB")


def test_ablations_are_what_they_say():
    def losses(variant):
        method = build_method(ablations.get_config(variant))
        w = method.weights
        return bool(w.gan), bool(w.cycle_a), bool(w.cycle_b), bool(w.identity)

    assert losses("full") == (True, True, True, False)
    assert losses("cycle_alone") == (False, True, True, False)
    assert losses("gan_alone") == (True, False, False, False)
    assert losses("gan_forward") == (True, False, True, False)
    assert losses("gan_backward") == (True, True, False, False)
    assert losses("identity") == (True, True, True, True)
    assert ablations.get_config("no_pool").pool_size == 0
    assert ablations.get_config("vanilla").loss.gan_mode == "vanilla"
    assert ablations.get_config("unet").generator.name == "unet_64"
    assert ablations.get_config("cityscapes+unet").generator.name == "unet_128"
    # The demo's discriminators and rate are for the demo alone.
    assert streets.get_config().discriminator.queue_size == 3
    for config in (ablations.get_config("full"), streets.get_config("plain")):
        assert config.discriminator.queue_size == 0
        assert config.optimizer.learning_rate == 2e-4
        assert config.optimizer.constant_epochs + config.optimizer.decay_epochs == 5


def test_uvcgan2_is_its_parts():
    """With the numbers of the authors' scripts."""
    config = ablations.get_config("uvcgan2")
    parts = ("spectral_norm", "batch_head", "gradient_penalty", "constant_rate", "ema")
    for part in parts:
        for name, value in ablations.ABLATIONS[part].items():
            assert configuration.flatten(config.to_dict())[name] == value
    assert (config.optimizer.learning_rate, config.optimizer.beta2) == (1e-4, 0.99)
    method = build_method(config)
    assert method.discriminator_a.spectral_norm
    assert method.discriminator_a.queue_size == 3
    assert (method.gan_mode, method.weights.gradient_penalty) == ("lsgan_gp", 1.0)
    two = Experiment.of(ablations.get_config("two_rates"))
    assert optimizers.relative_rate(two.config.optimizer) == 2.0
    augmented = build_method(ablations.get_config("augment"))
    assert augmented.discriminator_b.augmentation.policies == augmentation.POLICIES


def test_settings_of_the_papers_rows():
    config = pix2pix.get_config("facades+BtoA")
    assert config.data.dataset == "cycle_gan/facades"
    assert config.data.paired
    assert config.generator.name == "unet_256"
    assert pix2pix.get_config("cityscapes").generator.name == "unet_128"
    config = cogan.get_config("cityscapes")
    assert (config.batch_size, config.max_steps) == (128, 100_000)
    assert config.generator.name == "coupled_128"
    assert config.optimizer.weight_decay == 1e-4


def test_published_settings_of_cut():
    """Those of the options of the authors' code, by CUT_mode."""
    plain, fast = (cut.get_config(f"horse2zebra+{kind}") for kind in cut.KINDS)
    for config, epochs, weights in (
        (plain, (200, 200), (0.5, 0.5)),  # lambda_NCE=1, halved by nce_idt.
        (fast, (150, 50), (10.0, 0.0)),
    ):
        o = config.optimizer
        assert (o.constant_epochs, o.decay_epochs) == epochs
        assert (o.learning_rate, o.beta1, o.beta2, o.policy) == (
            *(2e-4, 0.5, 0.999),
            "linear",
        )
        method = build_method(config)
        assert (method.nce, method.nce_identity) == weights
        assert method.flip_equivariance == (config is fast)
        assert method.layers == (0, 4, 8, 12, 16)
        assert (method.patches, method.temperature) == (256, 0.07)
        assert (method.projection.width, method.gan_mode) == (256, "lsgan")
        assert (config.batch_size, config.data.crop_size) == (1, 256)
        generator, discriminator = method.generator, method.discriminator
        assert (generator.blocks, discriminator.n_layers) == (9, 3)
        for module in (generator, discriminator, method.projection):
            assert (module.init_type, module.init_gain) == ("xavier", 0.02)
        assert generator.antialias
        assert generator.antialias_up
        assert discriminator.antialias


def test_two_courses():
    from configs import lecture, walkthrough

    config = lecture.get_config()
    assert config.loss.identity * config.loss.cycle_a == pytest.approx(0.1)
    method = build_method(config)
    assert method.discriminator_a.score_kernel == 1
    assert method.generator_ab.down_kernel == 4
    method = build_method(walkthrough.get_config())
    assert method.gan_mode == "vanilla"
    assert not method.generator_ba.reflect
    assert method.generator_ba.blocks == 6


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("horses", "'horses'.*streets, emoji, facades"),
        ("facades+maps", "choose one of"),
        ("facades+smok", "'smok'"),
    ],
)
def test_unknown_variants(variant, message):
    with pytest.raises(ValueError, match=message):
        pix2pix.get_config(variant)


def test_choices_come_in_any_order():
    kinds = (("a", "b"), ("", "smoke"))
    assert default.choose("smoke+b", *kinds) == ["b", "smoke"]
    assert default.choose("b+smoke", *kinds) == ["b", "smoke"]
    assert default.choose("", *kinds) == ["a", ""]
