"""What a training step changes: the state that is carried, sharded, donated and saved."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """`step` (int32 scalar) counts the steps taken; the rest are nested dicts of arrays.

    `averaged` is the moving average of `variables`, empty where none is kept.

    No random key is part of it: a step folds its keys from the run's seed and its own number.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    averaged: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def tested(self) -> dict:
        """The variables that tests are made with: the averages where there are some."""
        return self.averaged or self.variables

    def begun_with(self, variables: dict) -> "TrainState":
        """The state with these variables; averages begin with them, too, in memory of their own."""
        averaged = jax.tree.map(jnp.copy, variables) if self.averaged else {}
        return self.replace(**variables, averaged=averaged)


def create(
    variables: dict, optimizer: optax.GradientTransformation, average: bool = False
) -> TrainState:
    """The state before the first step; under `jax.eval_shape`, its abstract twin."""
    variables = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        **variables,
        opt_state=optimizer.init(variables["params"]),
        averaged=jax.tree.map(jnp.copy, variables) if average else {},
    )
