"""The other systems: what a step moves, exact resumption, translations, errors."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import streets
from cyclegan_jax import evaluation, torch_files
from cyclegan_jax.core import networks, steps
from cyclegan_jax.core.methods import phases
from cyclegan_jax.core.methods.bigan import BiGAN
from cyclegan_jax.core.methods.cogan import CoGAN
from cyclegan_jax.core.methods.content_gan import ContentGAN
from cyclegan_jax.core.methods.cut import CUT
from cyclegan_jax.core.methods.interface import size_multiple, smallest_size
from cyclegan_jax.core.methods.pix2pix import Pix2Pix
from cyclegan_jax.core.networks import vgg
from cyclegan_jax.core.networks.projection import PatchProjection
from cyclegan_jax.core.state import (
    create_state,
    placeholders,
    translate,
    variables_of,
)
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics.losses import METRICS
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.experiment import Experiment, build_method
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_files.download import file_sha256
from cyclegan_jax.training import loop, samples
from cyclegan_jax.translation.translator import Translator
from tests.test_steps import (
    SIZE,
    assert_close,
    assert_same,
    make_batch,
    moved,
    run,
    start,
)


def common(norm):
    # The type is asked for now: see `in_double_precision`.
    settings = {"width": 4, "init_gain": 0.2, "axis_name": "batch"}
    return settings | {"norm": norm, "dtype": jnp.float32}


def generator(norm="instance", **kwargs):
    return networks.generator("resnet_1blocks", **common(norm), **kwargs)


def discriminator(norm="instance", **kwargs):
    return networks.discriminator("n_layers", n_layers=1, **common(norm), **kwargs)


def make(name):
    if name == "pix2pix":
        return Pix2Pix(generator("batch", dropout=True), discriminator("batch"))
    if name == "simgan":
        return ContentGAN(generator(dropout=True), discriminator(), direction="BtoA")
    if name == "feature_gan":
        return ContentGAN(
            generator(), discriminator(), vgg.VGG16(size=16, width=2, dtype=jnp.float32)
        )
    if name == "bigan":
        return BiGAN(generator(dropout=True), generator(), discriminator())
    if name == "cut":
        return CUT(
            generator(dropout=True, antialias=True, antialias_up=True),
            discriminator(antialias=True),
            PatchProjection(3, width=6, init_gain=0.2, dtype=jnp.float32),
            layers=(0, 4, 8),
            patches=20,
            flip_equivariance=True,
        )
    return CoGAN(
        # Two images of each domain are too few to divide by their deviation.
        networks.CoupledGenerator(size=SIZE, **common("none")),
        networks.CoupledDiscriminator(**common("none")),
        latent_size=5,
    )


EXHAUSTIVE = pytest.mark.exhaustive
NAMES = {
    "pix2pix": ["d_b", "g_ab"],
    "simgan": ["d_a", "g_ba"],
    "feature_gan": ["d_b", "g_ab"],
    "bigan": ["d_ab", "g_ab", "g_ba"],
    "cogan": ["d", "g"],
    "cut": ["d_b", "f_ab", "g_ab"],
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
def test_two_devices_equal_one(name, request):
    """Noise, latent vectors and batch statistics are by slot, not by device."""
    check = assert_close
    if name not in (
        "cogan",
        "cut",
        "feature_gan",
    ):  # Some parameters are of Flax's type.
        request.getfixturevalue("in_double_precision")
        check = assert_same
    check(run(make(name), 1, num_steps=2), run(make(name), 2, num_steps=2))


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    """The columns of the grid have titles and images of one size."""
    method = make(name)
    photos = jnp.zeros((2, SIZE, SIZE, 3))

    def columns(photos):
        state, _ = start(method)

        def apply(direction, images):
            return translate(state, method, direction, images)

        return samples.columns(method, apply, photos, photos)

    grid = jax.eval_shape(columns, photos)
    assert {"real A", "real B"} < set(grid)
    assert {image.shape for image in grid.values()} == {photos.shape}


@pytest.mark.parametrize("name", NAMES)
def test_parts_have_noise_of_their_own(name):
    """A batch in parts: keys and latent vectors are divided like images."""
    method = make(name)
    state, pools = jax.eval_shape(lambda: start(method))
    step = functools.partial(
        steps.train_step,
        method=method,
        optimizer=optax.sgd(1e-3),
        axis_name="batch",
        accumulate=2,
    )
    trace = jax.make_jaxpr(step, axis_env=[("batch", 1)], return_shape=True)
    _, (after, _, metrics) = trace(state, pools, make_batch(), np.uint32(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert all(value.shape == () for value in metrics.values())
    assert set(metrics) <= {metric.key for metric in METRICS}  # Their charts.


class Spy(phases.Networks):
    """Remembers the discriminators' inputs."""

    def __call__(self, name, inputs, **kwargs):
        if name.startswith("d"):
            self.scored = [*getattr(self, "scored", []), inputs]
        return super().__call__(name, inputs, **kwargs)

    def each(self, name, *inputs):
        return tuple(self(name, x) for x in inputs)


@pytest.mark.parametrize("name", ["pix2pix", "simgan", "cut"])
@pytest.mark.slow
def test_both_sides_learn_from_the_same_images(name):
    """Noise included, although every phase has different keys."""
    method = dataclasses.replace(
        make(name), generator=generator("batch", dropout=True).clone(axis_name=None)
    )
    method = dataclasses.replace(
        method, discriminator=discriminator().clone(axis_name=None)
    )
    state = create_state(method, optax.sgd(0.1), (SIZE, SIZE), 0)
    rng = np.random.default_rng(0)
    images = {
        f"real_{d}": rng.uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
        for d in "ab"
    }
    scored = []
    for number, phase in enumerate(method.phases):
        keys = jax.random.split(jax.random.key(number), 2)
        net = Spy(method.modules, state.params, state.norm_stats, keys)
        _, outputs, _ = phase.loss(net, images)
        images |= outputs
        scored.append(getattr(net, "scored", []))
        moved_stats = number == 2
        assert moved(state.norm_stats, net.norm_stats) == moved_stats
    assert [len(x) for x in scored] == [0, 2, 1]
    np.testing.assert_allclose(scored[1][1], scored[2][0], atol=1e-6)


def test_pix2pix_without_its_discriminator():
    method = dataclasses.replace(make("pix2pix"), gan=0.0)
    state, _, (metrics,) = run(method, 1)
    assert set(metrics) == {"l1"}
    assert set(state.params) == {"g_ab"}


def test_published_shapes_of_cogan():
    shapes = jax.eval_shape(
        networks.CoupledGenerator().init, jax.random.key(0), jnp.zeros((1, 100))
    )["params"]
    assert shapes["full"]["kernel"].shape == (100, 16 * 1024)
    channels = [shapes[f"up_{i}"]["kernel"].shape for i in range(5)]
    assert channels == [(4, 4, c, c // 2) for c in (1024, 512, 256, 128, 64)]
    assert shapes["out_b"]["kernel"].shape == (3, 3, 32, 3)
    image = jnp.zeros((1, 128, 128, 3))
    shapes = jax.eval_shape(
        networks.CoupledDiscriminator().init, jax.random.key(0), (image, image)
    )["params"]
    kernels = [shapes[f"conv_{i}"]["kernel"].shape for i in range(1, 6)]
    features = (32, 64, 128, 256, 512)
    assert kernels == [
        (k, k, c, 2 * c) for k, c in zip((5, 5, 3, 3, 3), features, strict=True)
    ]
    assert shapes["full"]["kernel"].shape == (2 * 2 * 1024, 2048)


# Runs.


def smoke(method, **changes):
    config = streets.get_config("smoke")
    config.method, config.batch_size, config.max_steps = method, 2, 6
    config.generator.width = config.discriminator.width = 4
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.sample_every_steps = 0  # They take longest to compile; see test_samples.
    config.pool_size = 4  # Full after two steps, so that later ones draw.
    if method == "pix2pix":
        config.data.paired, config.generator.dropout = True, True
        config.generator.name = "unet_32"
        config.generator.norm = config.discriminator.norm = "batch"
    if method == "simgan":
        config.direction = "BtoA"
    if method == "feature_gan":
        config.loss.vgg, config.loss.vgg_size = "random", 8
    if method == "cut":
        config.generator.antialias = config.generator.antialias_up = True
        config.discriminator.antialias = config.cut.flip_equivariance = True
        config.cut.patches = 20
    if method == "cogan":
        config.generator.name, config.discriminator.name = "coupled_32", "coupled"
        config.generator.norm, config.discriminator.norm = "batch", "none"
        config.loss.gan_mode = "vanilla"
        config.cogan.inversion_steps = 3
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config


def final_arrays(workdir):
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.load_arrays(6)[0]


def check_what_moved(method, after):
    """All networks but VGG, which has no optimiser state, have left their start."""
    built = build_method(smoke(method))
    given = placeholders(built)
    before = create_state(built, optax.sgd(0.1), (32, 32), seed=0, given=given)
    assert sorted(after["opt_state"]) == NAMES[method]
    for name, params in before.params.items():
        changed = moved(params, after["params"][name])
        assert changed == (name in NAMES[method]), name
    others = {"vgg"} if method == "feature_gan" else set()
    assert set(before.params) - set(NAMES[method]) == others


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        name if name in ("pix2pix", "cogan") else pytest.param(name, marks=EXHAUSTIVE)
        for name in NAMES
    ],
)
def test_runs_go_on_exactly(method, tmp_path):
    """Stopped, resumed, evaluated and used."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert loop.train(smoke(method), whole) == 0
    assert loop.train(smoke(method, max_steps=3), parts) == 0
    assert loop.train(smoke(method), parts) == 0
    expected = final_arrays(whole)
    jax.tree.map(np.testing.assert_array_equal, final_arrays(parts), expected)
    check_what_moved(method, expected["state"])
    result = evaluation.evaluate(parts)
    directions = list(build_method(smoke(method)).translations)
    assert [name for name in ("AtoB", "BtoA") if name in result] == directions
    assert np.isfinite(list(result[directions[0]].values())).all()
    translator = Translator(Run.load(parts), directions[0])
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 27, 3), dtype=np.uint8)
    assert translator(picture).shape == (30, 27, 3)
    if len(directions) == 1:
        other = "BtoA" if directions == ["AtoB"] else "AtoB"
        with pytest.raises(UserError, match=f"no generator {other}"):
            Translator(Run.load(parts), other)
    if method == "cogan":
        with pytest.raises(UserError, match=r"32x32 pixels and cannot .*64x64"):
            translator(np.zeros((50, 40, 3), np.uint8))
        with pytest.raises(UserError, match="only ResNet"):
            Translator(Run.load(parts), size="tile")


@pytest.mark.slow
def test_runs_without_pools_go_on_exactly(tmp_path):
    """Checkpoints cannot hold arrays without elements."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert loop.train(smoke("cyclegan", pool_size=0), whole) == 0
    assert loop.train(smoke("cyclegan", pool_size=0, max_steps=3), parts) == 0
    assert loop.train(smoke("cyclegan", pool_size=0), parts) == 0
    arrays = final_arrays(whole)
    jax.tree.map(np.testing.assert_array_equal, final_arrays(parts), arrays)
    assert not arrays["pools"]


# Translations.


def drawn(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def variables(state):
    return variables_of(state.params, state.ema_params, state.norm_stats)


def test_pix2pix_translates_with_noise_and_the_statistics_of_the_image():
    method = make("pix2pix")
    state = create_state(method, optax.sgd(0.1), (SIZE, SIZE), 0)

    def translated(images, **changes):
        changed = dataclasses.replace(method, **changes)
        return np.asarray(translate(state, changed, "AtoB", images))

    photos = drawn((3, SIZE, SIZE, 3))
    noisy = translated(photos)
    np.testing.assert_allclose(translated(photos[1:2]), noisy[1:2], atol=1e-5)
    calm = translated(photos, test_dropout=False)
    assert np.abs(noisy - calm).max() > 0.01
    running = translated(photos, test_dropout=False, test_statistics="running")
    assert np.abs(running - calm).max() > 0.01
    plain = method.generator.apply(variables(state)["g_ab"], photos)
    np.testing.assert_allclose(running, plain, atol=1e-5)
    # The statistics of one image are what training with it alone would use.
    alone = method.generator.clone(axis_name=None)
    for image, expected in zip(photos, calm, strict=True):
        y, _ = alone.apply(
            variables(state)["g_ab"],
            image[None],
            train=True,
            mutable=["batch_stats"],
        )
        np.testing.assert_allclose(y[0], expected, atol=1e-5)


def test_cogan_translates_what_it_drew_itself():
    """The other image of the same latent vector is the translation."""
    method = make("cogan")
    method = dataclasses.replace(method, inversion_steps=400)
    state = create_state(method, optax.sgd(0.1), (SIZE, SIZE), 0)
    variables = variables_of(state.params, {}, state.norm_stats)
    latent = 0.5 * drawn((3, 5))
    image_a, image_b = method.generator.apply(variables["g"], latent)
    found = method.invert(variables, image_a, 0)
    np.testing.assert_allclose(found, latent, atol=0.02)
    for direction, given, expected in (
        ("AtoB", image_a, image_b),
        ("BtoA", image_b, image_a),
    ):
        translated = translate(state, method, direction, given)
        scale = np.std(expected)
        assert np.abs(translated - expected).max() < 0.05 * scale, direction
        alone = translate(state, method, direction, given[1:2])
        np.testing.assert_allclose(alone[0], translated[1], atol=1e-3 * scale)


# Errors.


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (
            "pix2pix",
            {"data.paired": False},
            "learns from pairs: set config.data.paired",
        ),
        ("cyclegan", {"data.paired": True}, "cyclegan learns without pairs"),
        ("bigan", {"data.paired": True}, "bigan learns without pairs"),
        ("pix2pix", {"loss.gan": 0.0, "loss.l1": 0.0}, "nothing to train"),
        ("pix2pix", {"test_statistics": "batch"}, "image, running"),
        ("pix2pix", {"direction": "both"}, "AtoB, BtoA"),
        ("simgan", {"best_metric": "AtoB/per_pixel"}, "simgan translates BtoA only"),
        ("simgan", {"data.channels_b": 1}, "to be the same"),
        ("feature_gan", {"loss.vgg": ""}, "needs the weights of VGG-16: .*397923af"),
        (
            "feature_gan",
            {"loss.vgg": "/nowhere.pth"},
            r"no file /nowhere.pth: config.loss.vgg is",
        ),
        ("feature_gan", {"data.channels_a": 4}, "1 or 3 channels"),
        ("cogan", {"generator.name": "resnet_9blocks"}, "coupled_<size>"),
        ("cogan", {"generator.name": "coupled_48"}, "coupled_<size>"),
        ("cogan", {"data.crop_size": 16}, "set data.crop_size=32"),
        ("cogan", {"data.preprocess": "crop"}, "data.preprocess='resize_and_crop'"),
        ("cogan", {"loss.gan_mode": "wgangp"}, "no gradient penalty"),
        ("cogan", {"generator.norm": "instance"}, "norm batch"),
        ("cogan", {"discriminator.antialias": True}, "no discriminator.antialias"),
        ("cogan", {"generator.antialias_up": True}, "no generator.antialias_up"),
        ("cyclegan", {"generator.name": "coupled_32"}, "resnet_<n>blocks"),
        ("bigan", {"loss.gan": 0.0}, "loss.gan > 0"),
        ("gan", {}, "cyclegan, pix2pix, simgan, feature_gan, bigan, cogan, cut"),
        ("cut", {"data.channels_a": 1}, "to be the same"),
        ("cut", {"loss.gan": 0.0}, "loss.gan > 0"),
        ("cut", {"generator.name": "unet_32"}, "generator.name is unet_32.*resnet"),
        ("cut", {"cut.layers": "0,4,8,13"}, "cut.layers.*12 is the last layer"),
        ("cut", {"generator.antialias": False}, "cut.layers.*10 is the last layer"),
        ("cut", {"cut.layers": "4,0"}, "cut.layers is '4,0'; it must be rising"),
        ("cut", {"cut.layers": "0, 4"}, "cut.layers is '0, 4'; it must be rising"),
        ("cut", {"cut.layers": ""}, "cut.layers is ''; it must be rising"),
        ("cut", {"cut.temperature": 0.0}, "cut.temperature"),
    ],
)
def test_mistakes(method, changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        loop.train(smoke(method, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_vgg(tmp_path):
    """Read as torchvision names them; the checksum is part of the setting."""
    module, file = vgg.VGG16(), tmp_path / "vgg16.pth"
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19)
    rng = np.random.default_rng(0)
    tensors = {}
    for number, (_, layer) in zip(numbers, shapes["params"].items(), strict=True):
        height, width, channels, features = layer["kernel"].shape
        weight = rng.normal(size=(features, channels, height, width))
        tensors[f"features.{number}.weight"] = weight.astype(np.float32)
        tensors[f"features.{number}.bias"] = np.zeros(features, np.float32)
    tensors["classifier.0.bias"] = np.zeros(7, np.float32)
    torch_files.write(file, tensors)
    config = smoke("feature_gan", **{"loss.vgg": str(file)})
    with pytest.raises(UserError, match="does not begin with 397923af"):
        Experiment.of(config).pretrained_parameters()
    config.loss.vgg_sha256 = file_sha256(file)[:8].upper()
    params = Experiment.of(config).pretrained_parameters()["vgg"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, dict(shapes["params"])
    )
    ours, theirs = params["conv4_2"]["kernel"], tensors["features.19.weight"]
    np.testing.assert_array_equal(ours[1, 2, 3, 4], theirs[4, 3, 1, 2])
    method = build_method(config)
    state = create_state(method, optax.sgd(0.1), (32, 32), 0, given={"vgg": params})
    assert state.params["vgg"] is params
    assert "vgg" not in state.opt_state
    del tensors["features.19.weight"]
    torch_files.write(file, tensors)
    config.loss.vgg_sha256 = ""
    with pytest.raises(UserError, match=r"features\.19\.weight"):
        Experiment.of(config).pretrained_parameters()


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "bigan",
            {},
            "real A, A to B, cycle A, identity A, real B, B to A, cycle B, identity B",
        ),
        (
            "cyclegan",
            {"data.channels_b": 1},
            "real A, A to B, cycle A, real B, B to A, cycle B",
        ),
        ("cogan", {}, "real A, A to B, real B, B to A"),
        ("simgan", {}, "real B, B to A, real A"),
        ("cut", {}, "real A, A to B, real B"),
    ],
)
def test_columns_of_a_sample_grid(name, changes, expected):
    experiment = Experiment.of(smoke(name, **changes))
    method = experiment.method
    sampler = samples.Sampler(experiment, experiment.dataset())
    titles = sampler.columns(create_state(method, optax.sgd(0.1), (32, 32), 0))
    assert ", ".join(titles) == expected


@pytest.mark.parametrize(
    ("name", "multiple", "smallest"),
    [("pix2pix", 4, 6), ("bigan", 4, 6), ("cut", 4, 6), ("cogan", SIZE, SIZE)],
)
def test_sizes_are_those_of_the_networks(name, multiple, smallest):
    """A ResNet halves twice; one strided convolution and a score need 6 pixels."""
    method = make(name)
    assert size_multiple(method) == multiple
    assert smallest_size(method) == smallest
