"""Every form of a convolution is the convolution, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxaction.models.ops import conv3d


def plain(x, kernel, strides, padding, dilation, groups=1):
    pads = [(p, p) for p in padding]
    names = ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, pads, None, dilation, names, feature_group_count=groups
    )


def random_case(seed, form):
    """A random input and kernel that `form` can take."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 4, 3)
    size[0] = 1 if form in ("matmul", "frames") else size[0]
    size[1:] = (1, 1) if form in ("matmul", "columns") else size[1:]
    strides, dilation = rng.integers(1, 4, 3), rng.integers(1, 3, 3)
    padding = np.where(size > 1, rng.integers(0, 3, 3), 0)
    if form == "winograd":
        size = np.array([(3, 1, 1), (1, 3, 3), (3, 3, 3), (3, 1, 2)][seed % 4])
        strides, dilation, padding = np.ones(3, int), np.ones(3, int), rng.integers(0, size)
    shape = (2, *rng.integers(5, 9, 3), 3)
    x = rng.standard_normal(shape).astype(np.float32)
    kernel = rng.standard_normal((*size, 3, 4)).astype(np.float32)
    return x, kernel, *(tuple(map(int, v)) for v in (strides, padding, dilation))


def both_ways(convolve, x, kernel, seed):
    """The output of a convolution, and its gradients for a random cotangent, in one program."""
    size = jax.eval_shape(convolve, x, kernel).shape
    cotangent = np.random.default_rng(seed).standard_normal(size).astype(np.float32)

    @jax.jit
    def run(x, kernel, cotangent):
        result, pull = jax.vjp(convolve, x, kernel)
        return result, pull(cotangent)

    return run(x, kernel, cotangent)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", conv3d.FORMS)
def test_form_equals_the_plain_convolution_both_ways(form, seed):
    x, kernel, strides, padding, dilation = random_case(seed, form)
    shape = (strides, padding, dilation)
    result, gradients = both_ways(lambda *x: conv3d.FORMS[form](*x, *shape, 1), x, kernel, seed)
    expected, expected_gradients = both_ways(lambda *x: plain(*x, *shape), x, kernel, seed)
    # Sums of up to a few hundred products of unit normals in float32.
    np.testing.assert_allclose(result, expected, atol=1e-4)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_depthwise_convolution_is_the_grouped_one():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 2, 5, 5, 6)), jnp.float32)
    kernel = jnp.asarray(np.random.default_rng(1).standard_normal((1, 3, 3, 1, 6)), jnp.float32)
    shape = ((1, 2, 2), (0, 1, 1), (1, 1, 1), 6)
    np.testing.assert_allclose(
        conv3d.conv3d(x, kernel, *shape), plain(x, kernel, *shape), atol=1e-5
    )


@pytest.mark.parametrize(
    ("kernel", "stride_t", "padding", "groups", "form"),
    [
        ((1, 1, 1, 8, 8), 1, (0, 0, 0), 1, "matmul"),
        ((1, 3, 3, 8, 8), 1, (0, 1, 1), 1, "frames"),
        ((1, 3, 3, 1, 8), 1, (0, 1, 1), 8, "frames"),
        ((3, 1, 1, 8, 8), 1, (1, 0, 0), 1, "columns"),
        ((3, 3, 3, 8, 22), 1, (1, 1, 1), 1, "taps"),
        ((5, 7, 7, 3, 8), 2, (2, 3, 3), 1, "taps"),
        ((5, 7, 7, 3, 8), 1, (2, 3, 3), 1, "outputs"),
        ((3, 3, 3, 1, 8), 1, (1, 1, 1), 8, "direct"),
        ((1, 1, 1, 8, 8), 1, (1, 0, 0), 1, "columns"),
    ],
)
def test_form_follows_the_kernels_shape_on_a_cpu(kernel, stride_t, padding, groups, form):
    x = jax.ShapeDtypeStruct((2, 8, 56, 56, kernel[3] * groups), "float32")
    kernel = jax.ShapeDtypeStruct(kernel, "float32")
    strides, dilation = (stride_t, 2, 2), (1, 1, 1)
    assert conv3d.choose_form(x, kernel, strides, padding, dilation, groups) == form


def form_of(shape, kernel, padding, dtype="float32", stride=1, **which):
    arrays = (jax.ShapeDtypeStruct(s, dtype) for s in (shape, kernel))
    return conv3d.choose_form(*arrays, (1, stride, stride), padding, (1, 1, 1), 1, **which)


@pytest.mark.parametrize(
    ("shape", "kernel", "padding", "form"),
    [
        ((2, 4, 56, 56, 64), (1, 3, 3, 64, 64), (0, 1, 1), "winograd"),
        ((2, 4, 14, 14, 1024), (3, 1, 1, 1024, 256), (1, 0, 0), "winograd"),
        ((2, 32, 28, 28, 64), (3, 1, 1, 64, 16), (1, 0, 0), "columns"),  # narrow
        ((2, 32, 56, 56, 8), (1, 3, 3, 8, 8), (0, 1, 1), "frames"),
        ((1, 1, 7, 7, 512), (1, 3, 3, 512, 512), (0, 1, 1), "frames"),  # few positions
        (
            (2, 4, 14, 14, 1024),
            (3, 1, 1, 1024, 256),
            (3, 0, 0),
            "columns",
        ),  # more padding than taps
    ],
)
def test_fewer_products_are_taken_where_that_pays_on_a_cpu(shape, kernel, padding, form):
    assert form_of(shape, kernel, padding) == form


def test_plain_products_are_taken_below_float32_and_under_strides():
    layer = ((2, 4, 56, 56, 64), (1, 3, 3, 64, 64), (0, 1, 1))
    assert form_of(*layer) == "winograd"
    assert form_of(*layer, dtype="bfloat16") == "frames"
    assert form_of(*layer, stride=2) == "frames"


def test_input_gradient_turns_no_large_kernels_around_for_few_positions():
    layer = ((2, 4, 7, 7, 512), (1, 3, 3, 512, 512), (0, 1, 1))
    assert form_of(*layer) == "winograd"
    assert form_of(*layer, input_gradient=True) == "frames"
    pointwise = ((2, 4, 7, 7, 512), (3, 1, 1, 512, 512), (1, 0, 0))
    assert form_of(*pointwise, input_gradient=True) == "winograd"


def test_product_is_computed_in_bfloat16_and_parameters_stay_float32():
    conv = conv3d.Conv3d(4, (1, 3, 3), padding=(0, 1, 1), use_bias=True, dtype="bfloat16")
    variables = conv.init(jax.random.key(0), jnp.ones((1, 2, 4, 4, 3)))
    assert conv.apply(variables, jnp.ones((1, 2, 4, 4, 3))).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
