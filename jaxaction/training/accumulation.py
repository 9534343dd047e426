"""Gradient accumulation: a function's mean over the parts of a batch, one part at a time.

`optax.microbatching` gives the same bits, but transposes the whole batch first: it holds two more
copies of it (tried with optax 0.2.8), and memory is what accumulation is there to save. It also has
no place for `group_size` or for a key of each part.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxaction.errors import InputError

Function = Callable[[Any, Key[Array, ""]], Any]  # function(batch, key)


def mean_over_parts(function: Function, count: int, group_size: int = 1) -> Function:
    """Returns a function that averages `function`, any tree of floats, over `count` parts.

    Each part gets its own key. With one part, `function` itself is returned. Only one part and the
    sums are in memory at a time. Groups of `group_size` clips stay together, see `divide`.
    """
    if count == 1:
        return function
    function = jax.jit(function)  # traced once for the shapes and for the loop

    def mean(batch, key):
        parts = jax.tree.map(lambda x: divide(x, count, group_size), batch)

        def add(i, sums):
            return jax.tree.map(jnp.add, sums, function(take(parts, i), jax.random.fold_in(key, i)))

        shapes = jax.eval_shape(lambda: function(take(parts, 0), key))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return jax.tree.map(lambda x: x / count, jax.lax.fori_loop(0, count, add, zeros))

    return mean


def divide(x: Array, count: int, group_size: int) -> Array:
    """`[n, ...]` as `[n / (count * group_size), count, group_size, ...]`; part i is `[:, i]`.

    A part has rows from all over the batch, so every device has its share of each part. Where the
    first axis divides over the devices, no row leaves its device.
    """
    return x.reshape(-1, count, group_size, *x.shape[1:])


def take(parts: Any, i: Array | int) -> Any:
    """Part i of every array in a tree of divided ones."""

    def one(x):
        part = jax.lax.dynamic_index_in_dim(x, i, axis=1, keepdims=False)
        return part.reshape(-1, *part.shape[2:])

    return jax.tree.map(one, parts)


def check_batch_divides(batch_size: int, count: int, devices: int) -> None:
    """Raises InputError if the parts of a batch don't divide evenly over the devices."""
    if batch_size % (count * devices):
        below = max(1, batch_size // (count * devices)) * count * devices
        raise InputError(
            f"train.batch_size {batch_size} is not a multiple of train.accumulate {count} times"
            f" {devices} devices; set train.batch_size to {below}, or train.accumulate to 1"
        )


def group_size(batch_size: int, count: int, devices: int, bn_group: int) -> int:
    """How many neighbouring clips stay together in a part.

    It is `bn_group` if whole groups divide over parts and devices: then the statistics of a norm
    are those of the undivided batch. Otherwise it is 1.
    """
    divides = bn_group and batch_size % (count * devices * bn_group) == 0
    return bn_group if divides else 1
