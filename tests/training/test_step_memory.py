import jax
import jax.numpy as jnp
import optax
import pytest

import jaxaction
from jaxaction import train_state
from jaxaction.errors import InputError
from jaxaction.runtime import device_memory
from jaxaction.training import step_memory, train_step
from jaxaction.training.step_memory import GIB, Footprint

FOOTPRINT = Footprint(
    parameters=2_000_000, state=2 * GIB, gradients=GIB, peak=7 * GIB, batch_size=8, devices=2
)


def test_activations_are_what_grows_with_the_batch():
    assert FOOTPRINT.activations == 4 * GIB


@pytest.mark.parametrize(("memory", "largest"), [(7, 8), (9, 12), (8, 8), (10, 12), (3, 0), (1, 0)])
def test_the_largest_batch_fills_what_state_and_gradients_leave(memory, largest):
    assert FOOTPRINT.largest_batch(memory * GIB, multiple=4) == largest


def test_the_line_tells_parameters_memory_and_the_largest_batch():
    assert step_memory.line(FOOTPRINT, 11 * GIB, 4) == (
        "2.00 M parameters; a step takes 7.00 GiB a device (parameters and optimizer 2.00 GiB,"
        " gradients 1.00 GiB, activations 4.00 GiB) of 11.00 GiB; a batch of about 16 would fit"
    )
    assert step_memory.line(FOOTPRINT, GIB // 16, 4).endswith("of 64.0 MiB; no batch would fit")


def test_a_step_that_takes_more_than_there_is_is_refused():
    step_memory.check_footprint(FOOTPRINT, 7 * GIB)
    with pytest.raises(InputError, match="batch_size 8 takes 7.00 GiB of a device's 6.00 GiB; low"):
        step_memory.check_footprint(FOOTPRINT, 6 * GIB)


def compiled(model, state, optimizer, batch_size):
    step = train_step.make_train_step(model, optimizer, (0.0,) * 3, (1.0,) * 3, seed=0)
    batch = {
        "clip": jax.ShapeDtypeStruct((batch_size, 4, 32, 32, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    }
    return jax.jit(step, donate_argnums=0).lower(state, batch).compile()


def test_the_largest_batch_fits():
    options = {"name": "tsn", "depth": 18, "stage_blocks": (1, 1), "width": 4, "num_classes": 3}
    model, optimizer = jaxaction.build(options), optax.sgd(0.1, 0.9)

    def create():
        variables = jaxaction.init(model, (1, 4, 32, 32, 3), jax.random.key(0))
        return train_state.create(variables, optimizer)

    state = jax.eval_shape(create)
    footprint = step_memory.measure(compiled(model, state, optimizer, 8), state, 8)
    memory = 5 * footprint.peak
    largest = footprint.largest_batch(memory, multiple=1)
    assert footprint.parameters == sum(x.size for x in jax.tree.leaves(state.params))
    assert largest >= 40
    # A clip takes less in a larger batch: parts of the weight gradients have one size.
    assert memory / 3 < device_memory.needed(compiled(model, state, optimizer, largest)) <= memory
