"""The transforms of Winograd's products are exact, and their rounding stays near a plain sum's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.models.ops import winograd
from jaxaction.models.ops.conv3d import FORMS


@pytest.mark.parametrize("tile", winograd.POINTS)
def test_products_of_the_transforms_are_the_convolution(tile):
    inputs, taps, outputs = winograd.transforms(tile)
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal(tile + 2), rng.standard_normal(3)
    expected = np.convolve(x, kernel[::-1], "valid")
    # Sums of a few products in float64.
    np.testing.assert_allclose(outputs @ ((inputs @ x) * (taps @ kernel)), expected, atol=1e-14)


@pytest.mark.parametrize("tile", winograd.POINTS)
def test_weights_of_inputs_and_outputs_are_exact_in_float32(tile):
    inputs, _, outputs = winograd.transforms(tile)
    for matrix in (inputs, outputs):
        assert (matrix.astype(np.float32) == matrix).all()


@pytest.mark.parametrize(("length", "tile"), [(2, 2), (3, 4), (4, 4), (5, 2), (7, 4), (56, 4)])
def test_tile_is_the_one_with_the_fewest_products(length, tile):
    assert winograd.best_tile(length) == tile


def products(function, *operands):
    """Multiplications in the matrix products and convolutions of a program."""
    return jax.jit(function).lower(*operands).compile().cost_analysis()["flops"] / 2


def test_four_outputs_take_half_of_the_products():
    x, kernel = jnp.ones((1, 4, 16, 16, 128)), jnp.ones((3, 1, 1, 128, 128))
    how = ((1, 1, 1), (1, 0, 0), (1, 1, 1), 1)
    plain = 4 * 16 * 16 * 3 * 128 * 128
    # The transforms add a few operations for each input, output and tap.
    assert products(lambda *a: FORMS["winograd"](*a, *how), x, kernel) < 0.55 * plain


def test_rounding_is_at_most_five_times_that_of_a_plain_convolution():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((1, 8, 4, 4, 256)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 1, 1, 256, 64)), jnp.float32)
    how = ((1, 1, 1), (1, 0, 0), (1, 1, 1), 1)
    with jax.enable_x64(True):
        exact = np.asarray(FORMS["columns"](x.astype(np.float64), kernel.astype(np.float64), *how))
    errors = {
        form: np.std(np.asarray(FORMS[form](x, kernel, *how)) - exact)
        for form in ("columns", "winograd")
    }
    assert errors["winograd"] < 5 * errors["columns"]
