import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.errors import InputError
from jaxaction.training import losses

# Softmax: the first row's losses are -log(1/2) for both classes, the second's -log(3/4), -log(1/4).
LOGITS = jnp.array([[0.0, 0.0], [np.log(3.0), 0.0]])
HALF, QUARTER, REST = np.log(2), np.log(4), np.log(4 / 3)


def loss(function, *args):
    named, weight = function(*args)
    (value,) = named.values()
    return value / weight


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-6)  # float32


def test_loss_is_the_mean_cross_entropy():
    assert_close(loss(losses.cross_entropy, LOGITS, jnp.array([0, 1])), (HALF + QUARTER) / 2)


def test_class_weights_make_it_a_weighted_mean():
    got = loss(losses.cross_entropy, LOGITS, jnp.array([0, 1]), (1.0, 3.0))
    assert_close(got, (1 * HALF + 3 * QUARTER) / (1 + 3))


def test_class_weights_of_shares_are_normalised_by_their_weighted_sum():
    shares = jnp.array([[0.5, 0.5], [0.25, 0.75]])
    got = loss(losses.cross_entropy, LOGITS, shares, (1.0, 3.0))
    clips = 0.5 * HALF + 3 * 0.5 * HALF, 0.25 * REST + 3 * 0.75 * QUARTER
    assert_close(got, sum(clips) / (0.5 + 3 * 0.5 + 0.25 + 3 * 0.75))


def test_shares_without_class_weights_are_a_plain_mean():
    shares = jnp.array([[0.5, 0.5], [0.25, 0.75]])
    got = loss(losses.cross_entropy, LOGITS, shares)
    assert_close(got, (HALF + 0.25 * REST + 0.75 * QUARTER) / 2)


def test_the_loss_of_several_labels_is_the_mean_over_clips_and_classes():
    logits, targets = jnp.array([[0.0, np.log(3.0)], [0.0, 0.0]]), jnp.array([[1.0, 1], [0, 1]])
    assert_close(loss(losses.binary_cross_entropy, logits, targets), (3 * HALF + REST) / 4)


def test_class_weights_of_several_labels_leave_the_divisor():
    logits, targets = jnp.array([[0.0, np.log(3.0)], [0.0, 0.0]]), jnp.array([[1.0, 1], [0, 1]])
    got = loss(losses.binary_cross_entropy, logits, targets, (1.0, 3.0))
    assert_close(got, (2 * HALF + 3 * (REST + HALF)) / 4)


def test_smoothing_spreads_a_part_of_each_clip_over_all_classes():
    got = losses.smooth(jnp.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]), 0.2)
    assert_close(got, [[0.85, 0.05, 0.05, 0.05], [0.45, 0.45, 0.05, 0.05]])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0, 2.0), "has 2 numbers, but model.num_classes is 3; give a weight for each class"),
        ((1.0, 2.0, -1.0), "are not numbers of 0 or more"),
        ((1.0, 2.0, "a"), "are not numbers of 0 or more"),
        ((0.0, 0.0, 0.0), "one of them above 0"),
        ((1.0, 2.0, float("nan")), "are not numbers of 0 or more"),
    ],
)
@pytest.mark.usefixtures("values_of_wrong_types")
def test_class_weights_that_fit_no_class_are_named(weights, words):
    with pytest.raises(InputError, match="^train.class_weights ") as caught:
        losses.check_class_weights(weights, 3)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_no_class_weights_and_a_weight_for_each_class_pass():
    losses.check_class_weights((), 3)
    losses.check_class_weights((0.0, 1, 2.5), 3)
