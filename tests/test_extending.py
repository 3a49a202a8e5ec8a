"""What docs/methods.md promises: how few places an extension of each kind touches.

Each test makes, by monkeypatching, exactly the changes to the package that the page
lists, and uses the extension through the ordinary commands' functions.
"""

import dataclasses
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from configs import streets
from cyclegan_jax.core import losses
from cyclegan_jax.core.methods.adversarial import discriminator_loss
from cyclegan_jax.core.methods.cyclegan import CycleGAN
from cyclegan_jax.core.methods.interface import Recipe, Translation
from cyclegan_jax.core.methods.phases import Phase
from cyclegan_jax.core.methods.registry import METHODS
from cyclegan_jax.core.networks import PatchDiscriminator, configured
from cyclegan_jax.core.steps import train_step
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.runs.setting import Setting
from cyclegan_jax.runs.settings import SETTINGS
from cyclegan_jax.training import loop
from cyclegan_jax.translation.translator import Translator
from tests.test_steps import SIZE, make_batch, make_method, start


def smoke(**changes):
    config = streets.get_config("smoke")
    config.generator.width = config.discriminator.width = 4
    config.batch_size = config.max_steps = config.num_samples = 2
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.update_from_flattened_dict(changes)
    return config


def metrics_of(method):
    """The losses of one step, by shape alone."""
    step = functools.partial(
        train_step, method=method, optimizer=optax.sgd(0.1), axis_name="batch"
    )
    state, pools = jax.eval_shape(lambda: start(method))
    trace = jax.make_jaxpr(step, axis_env=[("batch", 1)], return_shape=True)
    return trace(state, pools, make_batch(), np.uint32(0))[1][2]


def test_a_loss_term():
    """One place: the method's loss."""

    @dataclasses.dataclass(frozen=True)
    class Smooth(CycleGAN):
        smooth: float = 2.0

        def generators_loss(self, net, images):
            loss, outputs, terms = super().generators_loss(net, images)
            fake = outputs["fake_b"]
            terms["smooth"] = self.smooth * losses.l1(fake[:, 1:], fake[:, :-1])
            return loss + terms["smooth"], outputs, terms

    plain = make_method()
    networks = {
        field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)
    }
    metrics = metrics_of(Smooth(**networks))
    assert set(metrics) == {*metrics_of(plain), "smooth"}


def test_a_gan_loss(monkeypatch):
    """One place: its record in `losses.GAN_LOSSES`; configs can choose it at once."""
    ours = losses.GanLoss(
        generator=lambda scores, wanted: jnp.abs(scores - wanted),
        real=lambda scores: jnp.abs(scores - 1.0),
        fake=jnp.abs,
    )
    with pytest.raises(UserError, match=r"loss\.gan_mode"):
        Experiment.of(smoke(**{"loss.gan_mode": "absolute"}))
    monkeypatch.setitem(losses.GAN_LOSSES, "absolute", ours)
    method = Experiment.of(smoke(**{"loss.gan_mode": "absolute"})).method
    scores = jnp.array([2.0, -1.0])
    assert losses.generator_adversarial(scores, method.gan_mode) == 1.5
    assert losses.discriminator_adversarial(scores, scores, method.gan_mode) == 1.5


class Sloped(PatchDiscriminator):
    """The patch discriminator with one more option."""

    slope: float = 0.2


def test_a_network_option(monkeypatch):
    """Two places: the module's attribute, and its line in the table of settings."""
    module, setting = Sloped(), Setting(0.2, "Of the leaky ReLUs.", least=0)
    family = (Sloped, configured.PixelDiscriminator)
    monkeypatch.setattr(configured, "PatchDiscriminator", Sloped)
    monkeypatch.setattr(configured, "_DISCRIMINATORS", family)
    monkeypatch.setitem(SETTINGS, "discriminator.slope", setting)
    config = smoke()
    assert config.discriminator.slope == module.slope
    config.discriminator.slope = 0.1
    assert Experiment.of(config).method.discriminator_a.slope == 0.1
    config.discriminator.name = "pixel"  # It has no such option: an error, not silence.
    with pytest.raises(UserError, match="slope"):
        Experiment.of(config)
    config.discriminator.slope = 0.2
    Experiment.of(config)


# A method with a network that returns features, and another that takes them: the
# contrastive loss of CUT (Park et al. 2020) in small.


class Generator(nn.Module):
    """Returns an image, or the features of its layers."""

    @nn.compact
    def __call__(self, images, *, train=False, features=False):
        del train
        first = nn.relu(nn.Conv(4, (3, 3), name="conv_0")(images))
        second = nn.relu(nn.Conv(4, (3, 3), name="conv_1")(first))
        image = jnp.tanh(nn.Conv(3, (3, 3), name="conv_2")(second))
        return (first, second) if features else image


class Projection(nn.Module):
    """Maps features of several layers to vectors of length 1, one per pixel."""

    @nn.compact
    def __call__(self, features, *, train=False):
        del train
        vectors = []
        for i, x in enumerate(features):
            y = nn.Dense(8, name=f"dense_{i}")(x[:, ::4, ::4])
            y = y.reshape(len(y), -1, 8)
            length = jnp.sum(jnp.square(y), axis=-1, keepdims=True)
            vectors.append(y * jax.lax.rsqrt(length + 1e-6))
        return vectors


@dataclasses.dataclass(frozen=True)
class Contrastive:
    """Six members, as `interface.Method` lists them."""

    generator: nn.Module
    discriminator: nn.Module
    nce: float = 1.0

    paired = False
    pools = {}  # noqa: RUF012

    @property
    def modules(self):
        networks = {"g_ab": self.generator, "d_b": self.discriminator}
        return networks | {"projection": Projection()}

    @property
    def phases(self):
        return (
            Phase(("d_b",), self.discriminator_loss),
            Phase(("g_ab", "projection"), self.generator_loss),
        )

    @property
    def translations(self):
        return {"AtoB": Translation.by("g_ab", self.generator)}

    def blanks(self, image_size):
        image = jnp.zeros((1, *image_size, 3))
        features = tuple(jnp.zeros((1, *image_size, 4)) for _ in range(2))
        return {"g_ab": image, "d_b": image, "projection": features}

    def discriminator_loss(self, net, images):
        fake = jax.lax.stop_gradient(net("g_ab", images["real_a"]))
        loss = discriminator_loss(net, "d_b", images["real_b"], fake, "lsgan")
        return loss, {}, {"d_b": loss}

    def generator_loss(self, net, images):
        real = images["real_a"]
        fake = net("g_ab", real)
        terms = {"g_ab": losses.generator_adversarial(net("d_b", fake), "lsgan")}
        queries, keys = (
            net("projection", net("g_ab", x, features=True)) for x in (fake, real)
        )
        terms["nce"] = self.nce * sum(map(contrast, queries, keys))
        return sum(terms.values()), {}, terms


def contrast(queries, keys):
    """Each query's own key against the other keys of its image."""
    logits = jnp.einsum("bqc,bkc->bqk", queries, keys) / 0.07
    labels = jnp.broadcast_to(jnp.arange(logits.shape[-1]), logits.shape[:-1])
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def build(config: Any, axis_name: str | None) -> Contrastive:
    discriminator = configured.discriminator_of(config, axis_name)
    return Contrastive(Generator(), discriminator, nce=config.loss.nce)


def test_a_method(monkeypatch, tmp_path):
    """Three places: its file, its line in the registry, its settings in the table."""
    monkeypatch.setitem(METHODS, "contrastive", Recipe(build))
    monkeypatch.setitem(SETTINGS, "loss.nce", Setting(1.0, "Contrast.", least=0))
    config = smoke(method="contrastive")
    config.log_every_steps, config.sample_every_steps = 1, 2
    assert loop.train(config, tmp_path / "run") == 0
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert {"d_b", "g_ab", "nce"} <= set(json.loads(lines[0]))
    assert list((tmp_path / "run/samples").glob("*.png"))
    run = Run.load(tmp_path / "run")
    assert sorted(run.variables) == ["d_b", "g_ab", "projection"]
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert Translator(run, "AtoB")(picture).shape == picture.shape
