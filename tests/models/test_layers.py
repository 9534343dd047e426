"""Batch norm has PyTorch's statistics; pooling has PyTorch's edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm, batch_groups, max_pool, normalize, relu


def apply_norm(x, **options):
    norm, x = BatchNorm(LayerOptions(**options)), jnp.asarray(x)
    variables = norm.init(jax.random.key(0), x, False)
    return norm.apply(variables, x, True, mutable=["batch_stats"])


def test_running_variance_is_the_unbiased_one():
    x = jnp.array([[1.0], [2.0], [6.0]])
    _, updates = apply_norm(x, norm_momentum=0.1)
    # mean 3; variance 14 / 2 = 7 with n - 1; a tenth of each beside nine tenths of 0 and 1
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [0.3], rtol=1e-6)
    np.testing.assert_allclose(updates["batch_stats"]["var"], [1.6], rtol=1e-6)


def test_batch_is_normalised_by_the_biased_variance():
    y, _ = apply_norm(jnp.array([[1.0], [2.0], [6.0]]), norm_eps=0.0)
    np.testing.assert_allclose(y[:, 0], np.array([-2, -1, 3]) / np.sqrt(14 / 3), rtol=1e-6)


def test_mean_of_a_thousand_does_not_drown_a_variance_of_one():
    x = 1000 + np.random.default_rng(0).standard_normal((64, 8, 8, 1)).astype(np.float32)
    y, updates = apply_norm(x)
    # float32 has about 6e-5 left at 1000
    np.testing.assert_allclose(
        y, (x - x.mean(dtype=np.float64)) / x.std(dtype=np.float64), atol=1e-3
    )


def test_groups_of_clips_have_statistics_of_their_own():
    x = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
    grouped, updates = apply_norm(x, bn_group=2)
    halves = [apply_norm(x[i : i + 2]) for i in (0, 2)]
    np.testing.assert_allclose(grouped, np.concatenate([y for y, _ in halves]), atol=1e-6)
    means = [u["batch_stats"]["mean"] for _, u in halves]
    np.testing.assert_allclose(updates["batch_stats"]["mean"], np.mean(means, axis=0), atol=1e-7)


def test_group_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="model.bn_group 3 does not divide the batch of 4 clips"):
        apply_norm(jnp.ones((4, 2)), bn_group=3)


def test_a_batch_smaller_than_the_group_shares_its_statistics():
    assert [batch_groups(batch, 16) for batch in (4, 16, 32)] == [1, 1, 2]


def test_bfloat16_input_keeps_float32_statistics():
    y, updates = apply_norm(jnp.ones((2, 4), jnp.bfloat16), dtype="bfloat16")
    assert y.dtype == jnp.bfloat16
    assert updates["batch_stats"]["mean"].dtype == jnp.float32


@pytest.mark.parametrize("groups", [1, 3])
def test_gradient_of_the_norm_is_the_derived_one(groups):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((groups, 40, 5)), jnp.float32)
    scale, bias, g = (
        jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((5,), (5,), x.shape)
    )

    def derived(x, scale, bias):
        mean = x.mean(axis=1, keepdims=True)
        var = jnp.square(x - mean).mean(axis=1, keepdims=True)
        return (x - mean) / jnp.sqrt(var + 0.1) * scale + bias

    expected, pull = jax.vjp(derived, x, scale, bias)
    actual, pull_own = jax.vjp(lambda *a: normalize(*a, 0.1)[0], x, scale, bias)
    np.testing.assert_allclose(actual, expected, atol=1e-5)  # float32
    for own, other in zip(pull_own(g), pull(g), strict=True):
        np.testing.assert_allclose(own, other, atol=2e-5)  # sums of 120 of them


def test_relu_has_no_slope_at_zero():
    slope = jax.grad(lambda x: relu(x).sum())(jnp.array([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(slope, [0, 0, 1])


def test_max_pool_counts_the_outside_as_minus_infinity():
    x = -jnp.arange(1.0, 5.0).reshape(1, 1, 1, 4, 1)
    y = max_pool(x, (1, 1, 3), (1, 1, 2), (0, 0, 1))
    np.testing.assert_array_equal(y[0, 0, 0, :, 0], [-1.0, -2.0])


def test_max_pool_drops_incomplete_windows():
    x = jnp.arange(5.0).reshape(1, 5, 1, 1, 1)
    np.testing.assert_array_equal(max_pool(x, (2, 1, 1), (2, 1, 1), (0, 0, 0)).ravel(), [1, 3])


@pytest.mark.parametrize("seed", range(4))
def test_max_pool_equals_a_reduced_window(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, *rng.integers(4, 8, 3), 3)).astype(np.float32)
    window = tuple(map(int, rng.integers(1, 4, 3)))
    strides = tuple(map(int, rng.integers(1, 3, 3)))
    padding = tuple(size // 2 for size in window)
    pads = [(0, 0), *((p, p) for p in padding), (0, 0)]
    expected = jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, *window, 1), (1, *strides, 1), pads
    )
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), window, strides, padding), expected)
