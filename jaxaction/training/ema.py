"""The exponential moving average of a network's weights and statistics."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def decay_at(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """How much the average keeps in the step that has `step` steps before it.

    It rises from 0.1 to `decay` as (1 + step) / (10 + step), so that an average over the last tenth
    of the run grows into one over the last 1 / (1 - decay) steps. With `decay` from the beginning,
    half of the weights that the run began with would be there after 0.7 / (1 - decay) steps still.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step))


def update(averaged: Any, variables: Any, step: Int[Array, ""], decay: float) -> Any:
    """The averages after one more step that led to `variables`; `step` as of `decay_at`."""
    return optax.incremental_update(variables, averaged, 1 - decay_at(step, decay))
