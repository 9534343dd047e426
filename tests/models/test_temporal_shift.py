"""The shift moves an eighth of the channels each way in time."""

import jax.numpy as jnp
import numpy as np

from jaxaction.models.temporal_shift import temporal_shift


def shifted(div):
    x = jnp.arange(1.0, 4.0).reshape(1, 3, 1, 1, 1) * jnp.ones((1, 3, 1, 1, 8))
    return np.asarray(temporal_shift(x, div))[0, :, 0, 0]


def test_first_channels_look_ahead_and_the_next_look_back():
    y = shifted(div=8)
    np.testing.assert_array_equal(y[:, 0], [2, 3, 0])
    np.testing.assert_array_equal(y[:, 1], [0, 1, 2])
    np.testing.assert_array_equal(y[:, 2:], [[1] * 6, [2] * 6, [3] * 6])


def test_shift_fills_clip_ends_with_zeros():
    y = shifted(div=4)
    assert (y[-1, :2] == 0).all() and (y[0, 2:4] == 0).all()


def test_clips_do_not_exchange_frames():
    x = jnp.stack([jnp.ones((2, 1, 1, 8)), 5 * jnp.ones((2, 1, 1, 8))])
    assert set(np.unique(temporal_shift(x, 8)[0])) == {0.0, 1.0}


def test_channels_fewer_than_the_divisor_stay():
    x = jnp.arange(12.0).reshape(1, 3, 1, 1, 4)
    np.testing.assert_array_equal(temporal_shift(x, 8), x)
