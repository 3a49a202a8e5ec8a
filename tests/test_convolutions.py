"""Every form of a convolution equals XLA's own, in value and in both gradients."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from cyclegan_jax.core import networks
from cyclegan_jax.core.networks import convolutions, efficientnet_lite
from cyclegan_jax.core.networks.convolutions import bfloat16, cpu, depthwise, winograd
from tests import slow_but

LAYOUT = ("NHWC", "HWIO", "NHWC")
# (kernel size, stride, padding, channels in, channels out, height, width)
CONVS = [
    (7, 1, 0, 3, 8, 14, 12),
    (7, 1, 0, 8, 3, 14, 12),
    (7, 1, 3, 8, 3, 10, 12),
    (3, 2, 1, 4, 16, 12, 8),
    (3, 2, 1, 4, 16, 11, 9),
    (3, 1, 0, 16, 16, 8, 6),
    (4, 2, 1, 3, 16, 12, 8),
    (4, 2, 1, 3, 16, 13, 9),
    (4, 1, 1, 16, 32, 6, 8),
    (4, 1, 1, 32, 1, 6, 8),
    (3, 1, 2, 12, 1, 6, 8),
    (1, 1, 0, 12, 1, 6, 8),
    (1, 1, 0, 8, 16, 5, 4),
    (3, 1, 0, 64, 72, 8, 6),  # Kernel gradients by Winograd; of even sizes.
    (3, 1, 1, 72, 64, 6, 8),
    (3, 1, 0, 64, 64, 7, 6),
    (3, 1, 1, 12, 16, 7, 6),
    (4, 2, 1, 12, 16, 9, 8),
    (5, 3, 1, 12, 16, 11, 13),
    (1, 2, 0, 12, 16, 7, 6),
    (4, 1, 1, 16, 12, 6, 8),
]


PLATFORMS = ["cpu", "cuda", "tpu"]


def plain_conv(x, kernel, stride=1, padding=0):
    """XLA's own, differentiated by JAX."""
    pads = [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=LAYOUT
    )


def plain_conv_transpose(x, kernel):
    pads = [(side - 2, 2) for side in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), pads, lhs_dilation=(2, 2), dimension_numbers=LAYOUT
    )


def on(platform, function, *args):
    """Computes here what that platform would be given to compute."""
    if platform == "cpu":
        return function(*args)
    unchecked = [export.DisabledSafetyCheck.platform()]
    exported = export.export(
        jax.jit(function), platforms=[platform], disabled_checks=unchecked
    )
    return exported(*args).call(*args)


def assert_equal_with_gradients(platform, form, plain, x, kernel):
    dy = jax.random.normal(jax.random.key(9), jax.eval_shape(form, x, kernel).shape)

    def with_gradients(function):
        def compute(x, kernel, dy):
            y, vjp = jax.vjp(function, x, kernel)
            return y, *vjp(dy)

        return compute

    actual = on(platform, with_gradients(form), x, kernel, dy)
    for a, expected in zip(actual, with_gradients(plain)(x, kernel, dy), strict=True):
        assert_close(a, expected)


def assert_close(actual, expected):
    """Up to rounding: the sums have up to 800 terms in another order."""
    bound = 2e-6 * np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


def arrays(k, channels, out, height, width):
    key_x, key_kernel = jax.random.split(jax.random.key(k))
    x = jax.random.normal(key_x, (2, height, width, channels))
    return x, jax.random.normal(key_kernel, (k, k, channels, out))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("k", "stride", "padding", "i", "o", "h", "w"), CONVS)
def test_conv_equals_xla(k, stride, padding, i, o, h, w, platform):
    settings = {"stride": stride, "padding": padding}
    assert_equal_with_gradients(
        platform,
        lambda x, kernel: convolutions.conv(x, kernel, **settings),
        lambda x, kernel: plain_conv(x, kernel, **settings),
        *arrays(k, i, o, h, w),
    )


@pytest.fixture
def tiles(request, monkeypatch):
    """Winograd's form for few channels and tiles, too; gradients in tiles of that size.

    Forward passes never take large ones.
    """
    for limits in ("_FORWARD", "_INPUT_GRADIENT", "_KERNEL_GRADIENT"):
        large = request.param == "large" and limits != "_FORWARD"
        few = cpu._Fewest(channels=64, small=1, large=1 if large else np.inf)
        monkeypatch.setattr(cpu, limits, few)
    jax.clear_caches()  # A convolution is traced once a shape.
    yield
    jax.clear_caches()


@pytest.mark.parametrize("tiles", ["small", "large"], indirect=True)
@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize(
    ("padding", "i", "o", "h", "w"),
    [(0, 64, 72, 8, 6), (1, 72, 64, 6, 8), (1, 64, 72, 8, 12), (0, 64, 64, 7, 6)],
)
def test_tiles_equal_xla(padding, i, o, h, w):
    test_conv_equals_xla(3, 1, padding, i, o, h, w, "cpu")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("k", [3, 4])
def test_conv_transpose_equals_xla(k, platform):
    assert_equal_with_gradients(
        platform,
        convolutions.conv_transpose,
        plain_conv_transpose,
        *arrays(k, 6, 10, 5, 7),
    )


@pytest.mark.parametrize(("stride", "h", "w"), [(1, 5, 6), (2, 8, 9), (3, 9, 10)])
def test_the_gradients_by_name(stride, h, w):
    """Sizes that cannot be told from the other argument are given."""
    x, kernel = arrays(4, 3, 5, h, w)
    settings = {"stride": stride, "padding": 1}
    y, vjp = jax.vjp(lambda x, k: plain_conv(x, k, **settings), x, kernel)
    dx, dkernel = vjp(y)
    actual = convolutions.input_gradient(y, kernel, (h, w), **settings)
    assert_close(actual, dx)
    actual = convolutions.kernel_gradient(x, y, (4, 4), **settings)
    assert_close(actual, dkernel)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("tiles", ["large"], indirect=True)
def test_both_gradients_use_one_transform_of_the_outputs():
    """In Winograd's form, 36 places in 256 tiles."""
    x, kernel = arrays(3, 64, 96, 66, 34)

    def loss(x, kernel):
        return jnp.sum(jnp.sin(convolutions.conv(x, kernel)))

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile().as_text()
    places = re.findall(r"= f32\[36,256,(\d+)\]\S* fusion\(.*kind=kLoop", text)
    assert sorted(places) == ["64", "96"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("k", "stride", "padding"),
    [(3, 1, "SAME"), (5, 2, "SAME"), (3, 2, "VALID"), (3, 2, ((0, 2), (1, 0)))],
)
def test_depthwise_equals_xla(k, stride, padding, platform):
    x, _ = arrays(k, 12, 1, 9, 8)
    _, kernel = arrays(k, 1, 12, 9, 8)
    settings = {"dimension_numbers": LAYOUT, "feature_group_count": 12}

    def by(function):
        return lambda x, kernel: function(
            x, kernel, (stride, stride), padding, **settings
        )

    forms = by(depthwise.conv_general_dilated), by(lax.conv_general_dilated)
    assert_equal_with_gradients(platform, *forms, x, kernel)


def test_no_depthwise_convolution_is_left_to_xla():
    net = efficientnet_lite.EfficientNetLite0(size=32)
    x = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    text = jax.jit(net.apply).lower(variables, x).compile().as_text()
    assert "feature_group_count" not in text


def assert_rounded_once(form, plain, x, kernel):
    """As computed in float32 from the same bfloat16 numbers, then rounded."""
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    y, form_vjp = jax.vjp(form, x, kernel)
    expected, plain_vjp = jax.vjp(plain, *(a.astype(jnp.float32) for a in (x, kernel)))
    dy = jax.random.normal(jax.random.key(9), y.shape, jnp.bfloat16)
    actual = [y, *form_vjp(dy)]
    wanted = [expected, *plain_vjp(dy.astype(jnp.float32))]
    for a, w in zip(actual, wanted, strict=True):
        assert a.dtype == jnp.bfloat16
        bound = 2e-6 * np.max(np.abs(w))  # As `assert_close`.
        np.testing.assert_allclose(a.astype(jnp.float32), w, rtol=2**-8, atol=bound)


@pytest.fixture(params=[False, True], ids=["float32", "products"])
def bfloat16_form(request, monkeypatch):
    """Either form of convolutions in bfloat16, whatever the processor."""
    monkeypatch.setattr(bfloat16, "uses_matrix_unit", lambda: request.param)
    jax.clear_caches()  # A convolution is traced once a shape.
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("bfloat16_form")
@pytest.mark.parametrize(
    ("k", "stride", "padding", "i", "o", "h", "w"), slow_but(CONVS[::3], CONVS)
)
def test_conv_in_bfloat16(k, stride, padding, i, o, h, w):
    assert_rounded_once(
        lambda x, kernel: convolutions.conv(x, kernel, stride=stride, padding=padding),
        lambda x, kernel: plain_conv(x, kernel, stride, padding),
        *arrays(k, i, o, h, w),
    )


@pytest.mark.usefixtures("bfloat16_form")
@pytest.mark.parametrize(("k", "i", "o"), [(3, 16, 12), (4, 12, 16), (4, 16, 3)])
def test_conv_transpose_in_bfloat16(k, i, o):
    assert_rounded_once(
        convolutions.conv_transpose,
        plain_conv_transpose,
        *arrays(k, i, o, 5, 7),
    )


@pytest.mark.parametrize("k", [3, 4])
def test_conv_transpose_by_definition(k):
    """Every input pixel adds its kernel, spread by the stride, to the output."""
    x, kernel = arrays(k, 2, 3, 4, 5)
    full = np.zeros((2, 2 * 4 + k, 2 * 5 + k, 3))
    for i in range(4):
        for j in range(5):
            # The kernel is stored flipped in space.
            patch = np.einsum("bc,hwco->bhwo", x[:, i, j], kernel[::-1, ::-1])
            full[:, 2 * i : 2 * i + k, 2 * j : 2 * j + k] += patch
    expected = full[:, 1:9, 1:11]
    y = convolutions.conv_transpose(x, kernel)
    assert_close(y, expected)


@pytest.mark.parametrize(
    ("channels", "dtype", "size", "expected"),
    [
        (128, jnp.float32, 48, [winograd.SMALL, winograd.LARGE, winograd.LARGE]),
        (128, jnp.float32, 32, [winograd.SMALL, winograd.SMALL, winograd.LARGE]),
        # Too few tiles, or channels, to pay: the gradient for the kernel alone.
        (128, jnp.float32, 16, [winograd.SMALL]),
        (64, jnp.float32, 48, [winograd.LARGE]),
        (32, jnp.float32, 48, []),
        (128, jnp.float32, 50, [winograd.SMALL] * 3),  # Not in tiles of 4x4.
        (128, jnp.float32, 49, []),  # Nor of 2x2.
        # In float32: differences lose half of bfloat16's digits.
        (128, jnp.bfloat16, 48, [winograd.SMALL, winograd.LARGE, winograd.LARGE]),
    ],
)
def test_where_winograd_is_used(channels, dtype, size, expected, tiles_taken):
    """Forward, and for the gradients for input and kernel."""
    take_gradients((1, size, size, channels), dtype)
    assert tiles_taken == expected


@pytest.mark.parametrize(("out", "products"), [(1, True), (2, False)])
def test_a_score_is_one_product(out, products):
    def gradient(x, kernel):
        return jax.grad(lambda k: jnp.sum(convolutions.conv(x, k, padding=1)))(kernel)

    shapes = (2, 9, 9, 32), (3, 3, 32, out)
    shapes = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    text = jax.jit(gradient).lower(*shapes).as_text()
    assert ("stablehlo.dot_general" in text) == products
    assert ("stablehlo.convolution" in text) != products


def test_tiles_of_all_images_count(tiles_taken):
    take_gradients((2, 16, 16, 128), jnp.float32)  # 128 tiles of 2x2 together.
    assert tiles_taken == [winograd.SMALL] * 3


@pytest.fixture
def tiles_taken(monkeypatch):
    """Winograd's tiles, as its forms are called."""
    tiles = []

    def noting(form):
        def noted(*arguments):
            tiles.append(arguments[-1])
            return form(*arguments)

        return noted

    for name in ("convolve", "input_gradient", "kernel_gradient"):
        monkeypatch.setattr(winograd, name, noting(getattr(winograd, name)))
    jax.clear_caches()  # A convolution is traced once a shape.
    return tiles


def take_gradients(shape, dtype):
    def loss(x, kernel):
        y = convolutions.conv(x, kernel, padding=1)
        return jnp.sum(y.astype(jnp.float32))

    kernel = jax.ShapeDtypeStruct((3, 3, shape[-1], shape[-1]), dtype)
    jax.eval_shape(jax.grad(loss, (0, 1)), jax.ShapeDtypeStruct(shape, dtype), kernel)


@pytest.mark.parametrize(("shape", "products"), [("b,4*h,4*w", True), ("b,h,w", False)])
def test_sizes_that_are_not_known_yet(shape, products):
    """An export of a convolution that is wide enough for Winograd's form."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 8, 12, 128)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 128, 128)), jnp.float32)

    def conv(x):
        return convolutions.conv(x, kernel, padding=1)

    sizes = export.symbolic_shape(f"{shape},128")
    exported = export.export(jax.jit(conv), platforms=["cpu"])(
        jax.ShapeDtypeStruct(sizes, x.dtype)
    )
    assert ("dot_general" in exported.mlir_module()) == products
    assert_close(exported.call(x), plain_conv(x, kernel, padding=1))


@pytest.mark.parametrize(
    "tile", [winograd.SMALL, winograd.LARGE], ids=lambda tile: f"F{tile.outputs}"
)
@pytest.mark.parametrize("form", ["convolve", "input_gradient", "kernel_gradient"])
def test_winograd_by_definition(form, tile):
    """In double precision, so that only a wrong formula can differ."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 6, 14, 3)), rng.normal(size=(2, 4, 12, 5))
    kernel = rng.normal(size=(3, 3, 3, 5))
    y, dx, dkernel = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(kernel)
    for i in range(3):
        for j in range(3):
            window = np.s_[:, i : i + 4, j : j + 12]
            y += np.einsum("bhwi,io->bhwo", x[window], kernel[i, j])
            dx[window] += np.einsum("bhwo,io->bhwi", dy, kernel[i, j])
            dkernel[i, j] = np.einsum("bhwi,bhwo->io", x[window], dy)
    expected = {"convolve": y, "input_gradient": dx, "kernel_gradient": dkernel}[form]
    with jax.enable_x64(True):
        actual = _winograd(form, *map(jnp.asarray, (x, kernel, dy)), tile)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)


def _winograd(form, x, kernel, dy, tile):
    if form == "kernel_gradient":
        return winograd.kernel_gradient(x, dy, tile)
    given = x if form == "convolve" else dy
    return getattr(winograd, form)(given, winograd.kernel_places(kernel, tile), tile)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("tiles", ["small"], indirect=True)
@pytest.mark.parametrize("size", [16, 18, 50])
@pytest.mark.parametrize("reflect", [False, True])
def test_kernels_transformed_beforehand(size, reflect):
    """The same values, gradients and second derivatives, and transforms left out."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(8, size, size, 64)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 64, 64)), jnp.float32)
    options = {"padding": 1, "reflect": reflect}

    def loss(x, kernel, places):
        y = convolutions.conv(x, kernel, **options, places=places)
        return jnp.sum(jnp.sin(y))

    def second(x, kernel, places):
        gradients = jax.grad(loss, (0, 1))(x, kernel, places)
        return sum(jnp.sum(jnp.sin(g)) for g in gradients)

    places = convolutions.prepare(kernel)
    for function in (loss, second):
        every = jax.jit(jax.value_and_grad(function, (0, 1)))
        jax.tree.map(
            np.testing.assert_array_equal,
            every(x, kernel, places),
            every(x, kernel, None),
        )
    assert loss(x, kernel, jnp.zeros_like(places)) == 0.0  # They are used.


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3, 3, 64, 128), "float32"),
        ((4, 4, 128, 128), "float32"),
        ((3, 3, 128, 128), "bfloat16"),
    ],
)
def test_other_kernels_are_not_transformed(shape, dtype):
    assert convolutions.prepare(jnp.zeros(shape, dtype)) is None


@pytest.mark.parametrize("form", ["convolve", "input_gradient", "kernel_gradient"])
def test_terms_of_opposite_points_are_computed_once(form):
    """The transforms of inputs, kernel and outputs have so many constants, per axis."""
    x, kernel = arrays(3, 2, 3, 10, 10)
    arguments = x, kernel, jnp.zeros((2, 8, 8, 3))
    compute = functools.partial(_winograd, form, tile=winograd.LARGE)
    names = [each.primitive.name for each in jax.make_jaxpr(compute)(*arguments).eqns]
    assert names.count("mul") == 2 * (14 + 8 + 6)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("k", "stride", "channels", "out"), [(4, 2, 3, 8), (3, 1, 64, 64), (3, 2, 4, 6)]
)
def test_second_derivatives(k, stride, channels, out, platform):
    """The gradient penalty differentiates a gradient: compare with plain XLA."""
    settings = {"stride": stride, "padding": 1}
    assert_equal_second_derivatives(
        platform,
        lambda x, kernel: convolutions.conv(x, kernel, **settings),
        lambda x, kernel: plain_conv(x, kernel, **settings),
        *arrays(k, channels, out, 9 if stride == 2 else 8, 8),
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_second_derivatives_of_conv_transpose(platform):
    assert_equal_second_derivatives(
        platform,
        convolutions.conv_transpose,
        plain_conv_transpose,
        *arrays(4, 6, 10, 5, 7),
    )


def assert_equal_second_derivatives(platform, form, plain, x, kernel):
    # Sines of large numbers would blow up rounding.
    kernel /= np.sqrt(np.prod(kernel.shape[:3]))

    def derivatives(conv):
        def penalty(x, kernel):
            both = jax.grad(lambda *args: jnp.sum(jnp.sin(conv(*args))), (0, 1))
            return sum(jnp.sum(jnp.square(part)) for part in both(x, kernel))

        return jax.grad(penalty, (0, 1))

    actual = on(platform, derivatives(form), x, kernel)
    expected = derivatives(plain)(x, kernel)
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e)


@pytest.mark.slow
@pytest.mark.usefixtures("bfloat16_form")
def test_second_derivative_in_bfloat16():
    """Rounded several times on the way: only size and direction are sure."""
    x, kernel = arrays(4, 16, 16, 8, 8)

    def of_gradient(x, kernel):
        def loss(x):
            y = convolutions.conv(x, kernel, stride=2, padding=1)
            return jnp.sum(jnp.square(y.astype(jnp.float32)))

        return jnp.sum(jnp.square(jax.grad(loss)(x).astype(jnp.float32)))

    wanted = jax.grad(of_gradient, 1)(x, kernel)
    actual = jax.grad(of_gradient, 1)(
        x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    )
    error = np.linalg.norm(actual.astype(jnp.float32) - wanted)
    assert error < 0.02 * np.linalg.norm(wanted)


@pytest.mark.slow
@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("tiles", ["large"], indirect=True)
def test_a_generator_keeps_its_precision(monkeypatch):
    """Published depth, the fewest channels that Winograd's forms take, both tiles."""
    module = networks.generator("resnet_9blocks", width=16, init_gain=0.05)
    images = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3), minval=-1.0)
    variables = jax.jit(module.init)(jax.random.key(1), images)

    def output_and_gradients():
        def loss(variables):
            y = module.apply(variables, images)
            return jnp.mean(jnp.abs(y - images)), y

        gradients, y = jax.jit(jax.grad(loss, has_aux=True))(variables)
        kernels = [g for g in jax.tree.leaves(gradients) if g.ndim == 4]
        return [y, *kernels]  # Biases before a norm have rounding noise for gradients.

    fast = output_and_gradients()
    monkeypatch.setattr(cpu, "_winograd_tile", lambda *_, **__: None)
    jax.clear_caches()  # A convolution is traced once a shape.
    plain = output_and_gradients()
    assert np.any(fast[0] != plain[0])
    for actual, expected in zip(fast, plain, strict=True):
        bound = 1e-5 if expected is plain[0] else 1e-4
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=bound * np.max(np.abs(expected))
        )
