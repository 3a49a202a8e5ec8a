"""The networks have the reference's sizes, shapes and receptive fields."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from cyclegan_jax.core import networks
from cyclegan_jax.core.networks import layers, norms, projection
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import numbering


def count(module, *shape):
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("name", "norm", "parameters"),
    [
        ("resnet_9blocks", "instance", 11_378_179),
        ("resnet_9blocks", "instance_affine", 11_388_675),
        ("resnet_6blocks", "instance", 7_837_699),
        ("unet_256", "batch", 54_413_955),
        ("unet_128", "batch", 41_828_995),
    ],
)
def test_generator_parameters(name, norm, parameters):
    assert count(networks.generator(name, norm=norm), 1, 256, 256, 3) == parameters


def test_cuts_networks():
    """As many parameters and scores as without blurs; features where CUT takes them."""
    blurred = {"antialias": True, "antialias_up": True}
    module = networks.generator("resnet_9blocks", **blurred)
    assert count(module, 1, 256, 256, 3) == 11_378_179
    assert module.encoder_layers == 21
    features, _ = jax.eval_shape(
        functools.partial(module.init_with_output, features=(0, 4, 8, 12, 16)),
        jax.random.key(0),
        jnp.zeros((1, 256, 256, 3)),
    )
    sizes = [(262, 3), (256, 128), (128, 256), (64, 256), (64, 256)]
    assert [x.shape for x in features] == [(1, s, s, c) for s, c in sizes]
    basic = networks.discriminator("basic", antialias=True)
    assert count(basic, 1, 256, 256, 3) == 2_764_737
    scores, _ = jax.eval_shape(
        basic.init_with_output, jax.random.key(0), jnp.zeros((1, 256, 256, 3))
    )
    assert scores.shape == (1, 30, 30, 1)


def test_places_of_patches():
    """None twice, others for each image and layer, all where there are few."""
    keys = jax.random.split(jax.random.key(0), 3)
    first, second, few = projection.draw(keys, (400, 400, 9), 50)
    assert first.shape == second.shape == (3, 50)
    for places in (*first, *second):
        assert len(set(places.tolist())) == 50
        assert 0 <= places.min() <= places.max() < 400
    assert len({tuple(places.tolist()) for places in (*first, *second)}) == 6
    assert sorted(few[1].tolist()) == [*range(9)]
    alone = projection.draw(keys[1:2], (400, 400, 9), 50)[0]
    np.testing.assert_array_equal(alone[0], first[1])  # By its slot alone.
    features = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    taken = projection.take(jnp.asarray(features), jnp.array([[11, 0], [4, 5]]))
    expected = [[features[0, 2, 3], features[0, 0, 0]], features[1, 1, :2]]
    np.testing.assert_array_equal(taken, expected)


def test_projection_of_nothing_has_a_gradient():
    module = projection.PatchProjection(heads=1, width=4)
    zeros = (jnp.zeros((1, 2, 3)),)
    variables = module.init(jax.random.key(0), zeros)

    def total(zeros):
        return jnp.sum(module.apply(variables, zeros)[0])

    assert np.isfinite(jax.grad(total)(zeros)[0]).all()


def test_discriminator_parameters():
    basic = networks.discriminator("basic")
    assert count(basic, 1, 256, 256, 3) == 2_764_737
    conditional = networks.discriminator("basic", norm="batch")
    assert count(conditional, 1, 256, 256, 6) == 2_768_705


def test_patch_scores_are_30_by_30():
    basic = networks.discriminator("basic", width=2)
    out, _ = jax.eval_shape(
        basic.init_with_output, jax.random.key(0), jnp.zeros((1, 256, 256, 3))
    )
    assert out.shape == (1, 30, 30, 1)


@pytest.mark.parametrize(
    ("n_layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286), (6, 574)]
)
def test_receptive_field_by_gradient(n_layers, field):
    # Without a norm, since an instance norm lets every score see the whole image.
    module = networks.discriminator("n_layers", n_layers=n_layers, width=1, norm="none")
    size = field + 2 ** (n_layers + 2)
    x = jax.random.normal(jax.random.key(1), (1, size, size, 1))
    variables = module.init(jax.random.key(0), x)
    # All positive: else a ReLU's zero or a cancellation could hide a connection.
    variables = jax.tree.map(lambda p: jnp.abs(p) + 0.1, variables)

    def middle_score(x):
        scores = module.apply(variables, x)
        return scores[0, scores.shape[1] // 2, scores.shape[2] // 2, 0]

    gradient = np.asarray(jax.jit(jax.grad(middle_score))(jnp.abs(x)))[0, :, :, 0]
    rows, columns = np.nonzero(gradient)
    assert np.ptp(rows) + 1 == field
    assert np.ptp(columns) + 1 == field


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_smallest_size_gives_one_score(n_layers, antialias):
    module = networks.discriminator(
        "n_layers", n_layers=n_layers, width=1, antialias=antialias
    )
    size = module.smallest_size
    for side, scores in ((size, 1), (size - 1, 0)):
        out, _ = jax.eval_shape(
            module.init_with_output, jax.random.key(0), jnp.zeros((1, side, side, 3))
        )
        assert out.shape == (1, scores, scores, 1)


@pytest.mark.parametrize("name", ["resnet_2blocks", "unet_16"])
def test_other_channels_and_sizes(name):
    module = networks.generator(name, width=4, channels=2)
    x = jnp.zeros((2, 32, 48, 5))
    y, _ = module.init_with_output(jax.random.key(0), x)
    assert y.shape == (2, 32, 48, 2)
    assert y.dtype == jnp.float32


def test_remat_changes_nothing():
    plain = networks.generator("resnet_2blocks", width=4)
    remat = networks.generator("resnet_2blocks", width=4, remat=True)
    x = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    variables = plain.init(jax.random.key(0), x)

    def loss(module, variables):
        return jnp.sum(jnp.square(module.apply(variables, x)))

    expected = jax.grad(functools.partial(loss, plain))(variables)
    gradient = jax.grad(functools.partial(loss, remat))(variables)
    # Rounding, of sums as large as the largest: biases before a norm get nothing else.
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-6 * scale),
        gradient,
        expected,
    )


@pytest.mark.parametrize("remat", [False, True])
def test_blocks_in_a_loop(remat):
    """In training on CPUs nine blocks are a loop; it computes what nine blocks do."""
    options = {"width": 4, "dropout": True, "remat": remat}
    module = networks.generator("resnet_9blocks", **options)
    x = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    variables = module.init(jax.random.key(0), x)
    keys = jax.random.split(jax.random.key(2), 2)

    def translate(variables, train):
        return module.apply(variables, x, train=train, dropout_keys=keys)

    gradient = jax.jit(
        jax.value_and_grad(lambda *args: jnp.sum(translate(*args) ** 2)),
        static_argnums=1,
    )

    def loops(train, platform):
        traced = gradient.trace(variables, train)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return text.count("stablehlo.while")

    assert loops(True, "cpu") == loops(False, "cpu") + 2
    assert loops(True, "tpu") == loops(False, "tpu")
    looped, chained = gradient(variables, True), gradient(variables, False)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(chained[1]))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5 * scale),
        looped,
        chained,
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_prepared_variables(dtype):
    """Translations are the same to the bit; in float32 kernels are transformed."""
    module = networks.generator("resnet_2blocks", width=32, dtype=dtype)
    x = jax.random.normal(jax.random.key(1), (1, 96, 96, 3))
    variables = module.init(jax.random.key(0), x)
    prepared = module.prepare(variables)
    made = len(jax.tree.leaves(prepared)) - len(jax.tree.leaves(variables))
    assert made == (4 if dtype == jnp.float32 else 0)
    apply = jax.jit(module.apply)
    np.testing.assert_array_equal(apply(prepared, x), apply(variables, x))


@pytest.mark.slow
def test_remat_saves_memory():
    """Four more blocks need memory for their inputs only."""

    def memory(blocks, **options):
        module = networks.generator(f"resnet_{blocks}blocks", width=8, **options)
        x = jnp.zeros((1, 64, 64, 3))
        shapes = jax.eval_shape(module.init, jax.random.key(0), x)
        gradient = jax.jit(jax.grad(lambda v: jnp.sum(module.apply(v, x) ** 2)))
        return gradient.lower(shapes).compile().memory_analysis().temp_size_in_bytes

    plain = memory(6) - memory(2)
    assert plain > 4 * 2 * 16 * 16 * 32 * 4  # Two activations a block, float32.
    assert memory(6, remat=True) - memory(2, remat=True) < 0.5 * plain


def test_bfloat16_computes_in_bfloat16_with_float32_parameters():
    full = networks.generator("resnet_1blocks", width=8)
    half = networks.generator("resnet_1blocks", width=8, dtype=jnp.bfloat16)
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3), minval=-1)
    variables = half.init(jax.random.key(0), x)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    text = jax.jit(half.apply).lower(variables, x).as_text()
    assert "bf16" in text
    difference = jnp.abs(half.apply(variables, x) - full.apply(variables, x))
    assert 0.0 < jnp.max(difference) < 0.1


def test_dropout_is_a_slots_own():
    """Each image's mask comes from its key alone, whatever the batch."""
    module = networks.generator("resnet_2blocks", width=4, dropout=True)
    x = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    variables = module.init(jax.random.key(0), x)
    keys = jax.random.split(jax.random.key(2), 2)
    both = module.apply(variables, x, dropout_keys=keys)
    second = module.apply(variables, x[1:], dropout_keys=keys[1:])
    np.testing.assert_allclose(both[1:], second, rtol=1e-4, atol=1e-6)
    without = module.apply(variables, x)
    assert np.max(np.abs(both - without)) > 1e-4


def test_dropout_halves_and_doubles():
    keys = jax.random.split(jax.random.key(2), 3)
    y = np.asarray(layers.dropout(jnp.ones((3, 16, 16, 8)), keys, 0))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1.0) < 0.05
    other = np.asarray(layers.dropout(jnp.ones((3, 16, 16, 8)), keys, 1))
    assert np.any(y != other)


def test_unet_dropout_stages():
    """unet_256 drops in three decoder stages, as the reference's d2, d3, d4."""
    module = networks.generator("unet_256", width=1, dropout=True)
    keys = jax.random.split(jax.random.key(0), 1)
    variables = jax.eval_shape(
        module.init, jax.random.key(0), jnp.zeros((1, 256, 256, 3))
    )
    jaxpr = jax.make_jaxpr(
        lambda v: module.apply(v, jnp.zeros((1, 256, 256, 3)), dropout_keys=keys)
    )(variables)
    assert str(jaxpr).count("random_bits") == 3


def test_batch_norm_is_synchronised_over_devices():
    """Two devices with half of the batch each act like one with all of it."""
    x = jax.random.normal(jax.random.key(1), (4, 6, 5, 3))
    variables = norms.BatchNorm().init(jax.random.key(0), x, train=True)

    def apply(module, x):
        return module.apply(variables, x, train=True, mutable=["batch_stats"])

    expected, stats = apply(norms.BatchNorm(), x)
    synchronised = norms.BatchNorm(axis_name="batch")
    halves, both = jax.pmap(
        lambda x: apply(synchronised, x), axis_name="batch", out_axes=(0, None)
    )(x.reshape(2, 2, 6, 5, 3))
    np.testing.assert_allclose(halves.reshape(x.shape), expected, rtol=1e-5, atol=1e-6)
    for name, value in stats["batch_stats"].items():
        np.testing.assert_allclose(both["batch_stats"][name], value, rtol=1e-5)
    # PyTorch keeps the unbiased variance, with weight 0.1 for the newest batch.
    wanted = 0.9 + 0.1 * np.var(x, axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(stats["batch_stats"]["var"], wanted, rtol=1e-5)


def test_initial_weights():
    draw = functools.partial(layers.kernel_init, transposed=False)
    key, shape = jax.random.key(0), (3, 3, 32, 64)  # fan in 288, fan out 576
    deviations = {
        "normal": 0.02,
        "xavier": 0.5 * np.sqrt(2.0 / (288 + 576)),
        "kaiming": np.sqrt(2.0 / 288),
    }
    for name, deviation in deviations.items():
        gain = 0.02 if name == "normal" else 0.5
        kernel = draw(name, gain)(key, shape)
        assert abs(np.std(kernel) / deviation - 1.0) < 0.02, name
    # PyTorch counts the fan in of a transposed convolution's [I, O, kh, kw] over O.
    kernel = layers.kernel_init("kaiming", 1.0, transposed=True)(key, shape)
    assert abs(np.std(kernel) / np.sqrt(2.0 / 576) - 1.0) < 0.02
    rows = np.asarray(draw("orthogonal", 2.0)(key, shape)).reshape(288, 64)
    np.testing.assert_allclose(rows.T @ rows, 4.0 * np.eye(64), atol=1e-4)
    with pytest.raises(ValueError, match="unknown initialisation"):
        draw("uniform", 1.0)


@pytest.mark.parametrize("build", [networks.generator, networks.discriminator])
def test_initial_scale_of_batch_norms(build):
    """N(1, gain), with the network's own gain."""
    name = "resnet_2blocks" if build is networks.generator else "basic"
    module = build(name, norm="batch", init_gain=0.5)
    params = module.init(jax.random.key(0), np.zeros((1, 32, 32, 3)))["params"]
    flat = traverse_util.flatten_dict(params)
    scales = np.concatenate([x for path, x in flat.items() if path[-1] == "scale"])
    assert abs(np.mean(scales) - 1.0) < 0.1
    assert abs(np.std(scales) - 0.5) < 0.05


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: networks.generator("resnet9"), "resnet_<n>blocks"),
        (lambda: networks.generator("unet_100"), "power of two"),
        (lambda: networks.generator("unet_256", remat=True), "has none"),
        (lambda: networks.generator("resnet_9blocks", norm="layer"), "instance, "),
        (lambda: networks.discriminator("n_layers", n_layers=7), "1 to 6"),
        (lambda: networks.discriminator("patch"), "basic, n_layers or pixel"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_discriminator_of_the_lecture():
    """A stem, contractions to 1/8, and a 1x1 convolution: 32x32 scores."""
    module = networks.discriminator("basic", stem_kernel=7, score_kernel=1)
    x = jnp.zeros((1, 256, 256, 3))
    out, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert out.shape == (1, 32, 32, 1)
    kernels = {k: v["kernel"].shape for k, v in variables["params"].items()}
    assert kernels == {
        "stem": (7, 7, 3, 64),
        "conv_0": (4, 4, 64, 128),
        "conv_1": (4, 4, 128, 256),
        "conv_2": (4, 4, 256, 512),
        "conv_out": (1, 1, 512, 1),
    }
    smallest = jnp.zeros((1, module.smallest_size, module.smallest_size, 3))
    out, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), smallest)
    assert out.shape == (1, 2, 2, 1)


def test_zero_padding_and_larger_kernels():
    """Zeros reach in from the border; 4x4 convolutions halve as 3x3 do."""
    x = jnp.ones((1, 32, 32, 3))
    settings = {"width": 2, "norm": "none", "init_gain": 0.3}
    outputs = {}
    for reflect in (True, False):
        module = networks.generator(
            "resnet_0blocks", reflect=reflect, down_kernel=4, outer_kernel=5, **settings
        )
        variables = module.init(jax.random.key(0), x)
        assert variables["params"]["down_0"]["kernel"].shape == (4, 4, 2, 4)
        assert variables["params"]["conv_in"]["kernel"].shape == (5, 5, 3, 2)
        outputs[reflect] = module.apply(variables, x)
        assert outputs[reflect].shape == x.shape
    difference = np.abs(outputs[True] - outputs[False]).max(axis=-1)[0]
    assert difference[0, 16] > 1e-3  # At the border,
    np.testing.assert_allclose(difference[16, 16], 0, atol=1e-7)  # not in the middle.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: networks.generator("unet_32", reflect=False), "reflect .* has none"),
        (
            lambda: networks.generator("resnet_1blocks", down_kernel=5),
            "use one of 3, 4",
        ),
        (
            lambda: networks.discriminator("pixel", stem_kernel=7),
            "stem_kernel .* pixel has none",
        ),
        (lambda: networks.discriminator("basic", score_kernel=2), "use one of 1, 4"),
    ],
)
def test_settings_of_other_networks(build, message):
    with pytest.raises(UserError, match=message):
        build()


@pytest.mark.parametrize(
    "module",
    [
        networks.generator("resnet_1blocks", reflect=False),
        networks.discriminator("basic", score_kernel=1),
    ],
)
def test_pytorch_has_no_such_network(module):
    with pytest.raises(UserError, match="PyTorch code has no network"):
        numbering.layer_names(module)
