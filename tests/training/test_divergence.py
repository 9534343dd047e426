import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction import train_state
from jaxaction.errors import InputError
from jaxaction.training.divergence import DivergenceCheck

VIDEOS = np.array([3, 1, 3])  # one drawn twice


def divergence(max_loss=0.0):
    return DivergenceCheck(lambda step: 0.001 * step, "v{}.mp4".format, max_loss)


def metrics(loss, norm=1.0):
    return {"loss": np.float32(loss), "grad_norm": np.float32(norm)}


@pytest.mark.parametrize(
    ("values", "what"),
    [(metrics(np.nan), "loss is nan"), (metrics(1.0, np.inf), "grad_norm is inf")],
)
def test_a_value_that_is_not_finite_names_step_rate_and_videos(values, what):
    with pytest.raises(InputError) as caught:
        divergence().check_metrics(12, values, VIDEOS)
    assert str(caught.value) == (
        f"step 12: {what}; checkpoints before it are kept; learning rate 0.011,"
        " videos v3.mp4, v1.mp4; lower optim.learning_rate, set a lower optim.clip_norm (0: off),"
        " or set compute to float32"
    )


def test_a_loss_above_the_limit_has_exploded():
    divergence(30.0).check_metrics(12, metrics(30.0), VIDEOS)
    with pytest.raises(InputError, match="^step 12: loss 30.01 is above 30, train.max_loss_factor"):
        divergence(30.0).check_metrics(12, metrics(30.01), VIDEOS)


def test_without_a_limit_any_finite_loss_passes():
    divergence(0.0).check_metrics(12, metrics(1e30), VIDEOS)


def state(value):
    params = {"conv": {"kernel": jnp.array([1.0, value])}, "count": jnp.int32(1)}
    moments = {"mu": jnp.zeros(2, jnp.bfloat16)}
    return train_state.TrainState(jnp.int32(7), params, {}, moments)


def test_a_state_that_is_not_finite_is_refused_by_the_name_of_the_array():
    divergence().check_state(state(2.0), VIDEOS)
    with pytest.raises(InputError, match="^step 7: params/conv/kernel is not finite; .* v1.mp4;"):
        divergence().check_state(state(jnp.inf), VIDEOS)


def test_the_optimizer_s_part_of_a_state_counts_too():
    bad = jax.tree.map(lambda x: x / 0, {"mu": jnp.ones(2, jnp.bfloat16)})
    with pytest.raises(InputError, match="^step 7: opt_state/mu is not finite"):
        divergence().check_state(state(2.0).replace(opt_state=bad), VIDEOS)
