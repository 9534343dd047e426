"""The exponential moving average of a network's weights and statistics."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def decay_at(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """The share of the average that the step with `step` steps before it keeps.

    It rises from 0.1 to `decay` as (1 + step) / (10 + step). So the average is first over the last
    tenth of the run, later over the last 1 / (1 - decay) steps. A constant `decay` would still keep
    half of the initial weights after 0.7 / (1 - decay) steps.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step))


def update(averaged: Any, variables: Any, step: Int[Array, ""], decay: float) -> Any:
    """The averages after a step that led to `variables`; `step` as in `decay_at`."""
    return optax.incremental_update(variables, averaged, 1 - decay_at(step, decay))
