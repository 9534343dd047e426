"""Gradient accumulation: a function's mean over the parts of a batch, one part at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxaction.errors import InputError


def mean(
    function: Callable[[Any, Key[Array, ""]], Any],
    batch: Any,
    key: Key[Array, ""],
    count: int,
    together: int = 1,
) -> Any:
    """The mean of `function(part, key)`, any tree of floats, over `count` parts of the batch.

    Each part has a key of its own; a single part has the whole batch and `key` as it is. Memory is
    that of one part, and of the sums. `together`: see `divide`.
    """
    if count == 1:
        return function(batch, key)
    parts = jax.tree.map(lambda x: divide(x, count, together), batch)
    function = jax.jit(function)  # traced once for the shapes and for the loop

    def add(i, sums):
        return jax.tree.map(jnp.add, sums, function(take(parts, i), jax.random.fold_in(key, i)))

    shapes = jax.eval_shape(lambda: function(take(parts, 0), key))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.tree.map(lambda x: x / count, jax.lax.fori_loop(0, count, add, zeros))


def divide(x: Array, count: int, together: int) -> Array:
    """`[n, ...]` as `[n / (count * together), count, together, ...]`; part i is `[:, i]`.

    A part has rows from all over the batch, and so every device has its share of each part: where
    the first axis divides over the devices, no row leaves its own.
    """
    return x.reshape(-1, count, together, *x.shape[1:])


def take(parts: Any, i: Array | int) -> Any:
    """Part i of every array in a tree of divided ones."""

    def one(x):
        part = jax.lax.dynamic_index_in_dim(x, i, axis=1, keepdims=False)
        return part.reshape(-1, *part.shape[2:])

    return jax.tree.map(one, parts)


def check(batch_size: int, count: int, devices: int) -> None:
    """Raises InputError if the parts of a batch don't divide evenly over the devices."""
    if batch_size % (count * devices):
        below = max(1, batch_size // (count * devices)) * count * devices
        raise InputError(
            f"train.batch_size {batch_size} is not a multiple of train.accumulate {count} times"
            f" {devices} devices; set train.batch_size to {below}, or train.accumulate to 1"
        )


def kept_together(batch_size: int, count: int, devices: int, bn_group: int) -> int:
    """How many neighbours stay together in a part: a norm's group where whole groups divide over
    parts and devices, so that its statistics are those of the undivided batch; else 1."""
    whole = bn_group and batch_size % (count * devices * bn_group) == 0
    return bn_group if whole else 1
