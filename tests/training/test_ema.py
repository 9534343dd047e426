import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxaction import train_state
from jaxaction.training import ema, train_step
from tests.training.test_train_step import MEAN, STD, Probe, batch


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.1), (1, 2 / 11), (8, 0.5), (9, 0.5), (99, 0.5)]
)
def test_the_average_keeps_more_from_step_to_step_up_to_the_decay(step, expected):
    assert float(ema.decay_at(jnp.int32(step), 0.5)) == pytest.approx(expected)


def test_an_average_of_a_line_is_that_of_its_last_steps():
    """Values 1, 2, 3 after the steps 0, 1, 2, from 10 on: 0.1, 2/11 and 3/12 are kept."""
    averaged = {"x": jnp.float32(10)}
    for step in range(3):
        averaged = ema.update(averaged, {"x": jnp.float32(step + 1)}, jnp.int32(step), 0.9)
    first = 0.1 * 10 + 0.9 * 1
    second = 2 / 11 * first + 9 / 11 * 2
    assert float(averaged["x"]) == pytest.approx(0.25 * second + 0.75 * 3)


def taken(decay):
    """The state before and after two steps that keep an average, or none."""
    optimizer, recipe = optax.sgd(0.1), train_step.Recipe(ema_decay=decay)
    step = jax.jit(train_step.make_train_step(Probe(), optimizer, MEAN, STD, 0, recipe))
    variables = Probe().init(jax.random.key(1), jnp.zeros((1, 1, 2, 2, 1)), False)
    states = [train_state.create(variables, optimizer, bool(decay))]
    for _ in range(2):
        states.append(step(states[-1], batch())[0])
    return states


def test_a_step_averages_weights_and_statistics():
    before, first, second = taken(0.15)
    assert before.eval_variables is before.averaged
    mixed = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, before.variables, first.variables)
    mixed = jax.tree.map(lambda a, b: 0.15 * a + 0.85 * b, mixed, second.variables)
    assert mixed.keys() == {"params", "batch_stats"}
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)  # noqa: E731  (float32)
    jax.tree.map(close, second.eval_variables, mixed)
    assert {x.dtype for x in jax.tree.leaves(second.averaged)} == {jnp.dtype("float32")}


def test_without_a_decay_tests_use_the_weights_themselves_and_training_is_the_same():
    without, having = taken(0.0)[-1], taken(0.15)[-1]
    assert without.averaged == {}
    jax.tree.map(np.testing.assert_array_equal, without.eval_variables, without.variables)
    jax.tree.map(np.testing.assert_array_equal, without.variables, having.variables)


def test_averages_begin_with_the_weights_that_a_run_begins_with():
    state = taken(0.15)[0]
    other = jax.tree.map(lambda x: x + 1, state.variables)
    started = state.with_variables(other)
    jax.tree.map(np.testing.assert_array_equal, started.averaged, other)
    jax.tree.map(np.testing.assert_array_equal, started.variables, other)
    jax.jit(lambda x: x, donate_argnums=0)(started)  # fails for memory that is shared
