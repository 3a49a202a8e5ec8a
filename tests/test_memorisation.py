"""r_v: whether discriminators score training images as they do others."""

import types

import numpy as np
import optax
import pytest

from configs import streets
from cyclegan_jax import data, images
from cyclegan_jax.core.networks import PatchDiscriminator
from cyclegan_jax.evaluation.discriminators import DiscriminatorScores
from cyclegan_jax.evaluation.live import LiveEvaluation
from cyclegan_jax.metrics.measure import Batch, Task
from cyclegan_jax.metrics.memorisation import DISCRIMINATORS, R_V, Memorisation
from cyclegan_jax.runs.experiment import Experiment


class Source(list):
    """Grey images of one value each."""

    def __init__(self, *values):
        super().__init__(np.full((4, 4, 3), value, np.uint8) for value in values)
        self.names = [str(value) for value in values]


class Brightness:
    """A discriminator that calls bright images real."""

    domains = ("b",)

    def __call__(self, domain, pictures):
        assert domain == "b"
        return pictures.mean(axis=(1, 2, 3))


def measure(train, test, generated, direction="AtoB"):
    dataset = types.SimpleNamespace(train_b=Source(*train), test_b=Source(*test))
    networks = {DISCRIMINATORS: Brightness()}
    task = Task(direction, dataset, lambda image, name: image, networks)
    created = Memorisation.create(task)
    if created is None:
        return None
    for value in generated:
        created.update(Batch([""], np.stack(Source(0)), np.stack(Source(value))))
    return created.compute()


def test_the_definition():
    # As many training images as test images: (80 - 50) / (80 - 20).
    assert measure([70, 90, 200], [40, 60], [10, 20, 30]) == {R_V: 0.5}
    assert measure([50], [50], [20]) == {R_V: 0.0}
    assert measure([80], [20], [20]) == {R_V: 1.0}
    many = measure([90] * 12, [60] * 12, [30])  # More than one batch.
    assert many == {R_V: 0.5}


def test_where_it_is_not_defined():
    assert measure([20], [20], [80]) == {}  # The discriminator is wrong.
    assert measure([20], [], [80]) is None
    assert measure([], [20], [80]) is None
    assert measure([20], [20], [80], "BtoA") is None  # No discriminator of A.


@pytest.mark.slow
def test_during_training(tmp_path):
    """As computed by hand from the discriminator's scores of the images."""
    config = streets.get_config("smoke")
    config.discriminator.monitor = True
    config.generator.width = config.discriminator.width = 4
    experiment = Experiment.of(config)
    dataset = experiment.dataset()
    size = (config.data.crop_size,) * 2
    state, _ = experiment.create(optax.identity(), size, slots=1)
    evaluation = LiveEvaluation(experiment, tmp_path, dataset)
    scores = evaluation(state, 0)
    module = experiment.method.modules["d_b"]
    assert isinstance(module, PatchDiscriminator)
    transform = data.test_transform(experiment.preprocess)

    def mean(source):
        batch = np.stack([transform(source[i], "") for i in range(4)])
        variables = {"params": state.params["d_b"]}
        return np.mean(module.apply(variables, images.to_float(batch)))

    train, test = mean(dataset.train_b), mean(dataset.test_b)
    generator = experiment.method.modules["g_ab"]
    photos = np.stack([transform(dataset.test_a[i], "") for i in range(4)])
    fake = generator.apply({"params": state.params["g_ab"]}, images.to_float(photos))
    fake = images.to_float(images.to_uint8(np.asarray(fake)))
    generated = np.mean(module.apply({"params": state.params["d_b"]}, fake))
    if train > generated:
        expected = (train - test) / (train - generated)
        np.testing.assert_allclose(scores["test/AtoB/r_v"], expected, rtol=1e-2)
    else:
        assert "test/AtoB/r_v" not in scores
    assert "test/AtoB/r_v" in scores or "test/BtoA/r_v" in scores


def test_pairs_have_none():
    """pix2pix discriminates pairs, BiGAN too, under another name."""
    d = PatchDiscriminator(n_layers=1, width=4)
    unpaired = types.SimpleNamespace(modules={"d_a": d, "d_ab": d}, paired=False)
    assert DiscriminatorScores(unpaired).domains == ["a"]
    pairs = types.SimpleNamespace(modules={"d_b": d}, paired=True)
    assert DiscriminatorScores(pairs).domains == []
