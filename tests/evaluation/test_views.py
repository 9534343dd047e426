"""Views: folded, unfolded and averaged."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.evaluation import views
from tests.paths import PARITY


def test_fold_keeps_the_views_of_a_video_together():
    folded = views.fold(jnp.arange(12).reshape(2, 3, 2))
    assert folded.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]


def test_unfold_undoes_fold():
    x = jnp.arange(12).reshape(2, 3, 2)
    np.testing.assert_array_equal(views.unfold(views.fold(x), 2), x)


def test_unfold_refuses_clips_that_the_videos_do_not_divide():
    with pytest.raises(ValueError, match="5 clips are not a multiple of 2 videos"):
        views.unfold(jnp.zeros((5, 3)), 2)


LOGITS = jnp.log(jnp.array([[[1.0, 3.0], [9.0, 1.0]]]))


def test_prob_is_the_mean_of_the_softmax():
    averages = views.average_clips(LOGITS, "prob")
    np.testing.assert_allclose(averages, [[0.575, 0.425]], rtol=1e-6)  # float32


def test_score_is_the_mean_of_the_logits():
    averages = views.average_clips(LOGITS, "score")
    np.testing.assert_allclose(averages, [[np.log(3.0), np.log(3.0) / 2]], rtol=1e-6)  # float32


@pytest.mark.parametrize("average", views.AVERAGES)
def test_averages_are_those_of_mmaction2(average):
    name = "slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb.npz"
    with np.load(PARITY / name) as file:
        averages = views.average_clips(jnp.asarray(file["logits"])[None], average)
        np.testing.assert_allclose(averages, file[f"average_{average}"], rtol=1e-5)  # float32


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match="average 'max' is none of prob, score"):
        views.average_clips(LOGITS, "max")


@pytest.mark.parametrize("average", views.AVERAGES)
def test_probabilities_sum_to_1(average):
    probs = views.probabilities(views.average_clips(LOGITS, average), average)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-6)  # float32
