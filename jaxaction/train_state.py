"""What a training step changes: the state that is carried, sharded, donated and saved."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """`step` (int32 scalar) counts the steps taken; the rest are nested dicts of arrays.

    No random key is part of it: a step folds its keys from the run's seed and its own number.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create(variables: dict, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; under `jax.eval_shape`, its abstract twin."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
    )
