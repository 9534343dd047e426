"""The state of training: a step takes one and returns the next, and checkpoints hold it."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """`step` (int32 scalar) counts the steps taken; the other fields are nested dicts of arrays.

    `averaged` is the moving average of `variables`, empty if none is kept. There is no random key:
    a step folds its key from the run's seed and its own number.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    averaged: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict:
        """The variables that `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> dict:
        """The variables for validation and test: the averages if there are any."""
        return self.averaged or self.variables

    def with_variables(self, variables: dict) -> "TrainState":
        """The state with these variables. The averages, if any, start as a copy of them."""
        averaged = jax.tree.map(jnp.copy, variables) if self.averaged else {}
        return dataclasses.replace(self, **variables, averaged=averaged)


def create(
    variables: dict, optimizer: optax.GradientTransformation, average: bool = False
) -> TrainState:
    """The state before the first step; only its shapes under `jax.eval_shape`."""
    variables = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        **variables,
        opt_state=optimizer.init(variables["params"]),
        averaged=jax.tree.map(jnp.copy, variables) if average else {},
    )
