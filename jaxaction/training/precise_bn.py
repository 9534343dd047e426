"""Precise batch norm: running statistics as the true ones over many clips.

Those that training keeps are an average over the last ten batches or so, each under other weights.
Wu and Johnson 2021 (Rethinking "Batch" in BatchNorm), section 3.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from jaxaction.models.pixels import normalize
from jaxaction.runtime import sharding, xla_options
from jaxaction.training import accumulation

Sums = dict[tuple[str, ...], Float[Array, " c"]]


class Settings(NamedTuple):
    """How many clips, and how they go through the network; pixels on the scale 0 to 255."""

    clips: int  # rounded up to whole batches; 0: no precise statistics
    batch_size: int  # of all processes
    parts: int  # of a batch, one in memory at a time
    mean: tuple[float, ...]
    std: tuple[float, ...]


def statistics(
    model: Any, variables: dict, loader: Iterable[dict], mesh: Mesh, settings: Settings
) -> dict[str, dict]:
    """`{"batch_stats": ...}`: the mean and variance of every norm's input over the first clips of
    `loader`, with `variables["params"]`; empty where no clips are wanted.

    An iterator of its own leaves training's where it is, and the clips are the same each time.
    Norms that keep their statistics in training keep them here. Clips are not mixed, as in tests.
    """
    count = -(-settings.clips // settings.batch_size)
    if not count:
        return {}
    program, sums = _program(model, mesh, settings), None
    for _, batch in zip(range(count), loader, strict=False):
        clips = sharding.put({"clip": batch["clip"]}, mesh)["clip"]
        found = jax.block_until_ready(program(variables, clips))  # lest batches pile up there
        sums = found if sums is None else jax.tree.map(jnp.add, sums, found)
    averages = jax.tree.map(lambda x: x / count, sums)
    return {"batch_stats": finish(variables["batch_stats"], averages)}


@functools.lru_cache(maxsize=1)
def _program(model: Any, mesh: Mesh, settings: Settings) -> Callable:
    whole, split = sharding.replicated(mesh), sharding.split(mesh)
    add = batch_moments(model, settings)
    options = xla_options.for_training()
    return jax.jit(add, in_shardings=(whole, split), out_shardings=whole, compiler_options=options)


def batch_moments(
    model: Any, settings: Settings
) -> Callable[[dict, UInt8[Array, "n t h w c"]], Sums]:
    """`moments(variables, clips)` of a whole batch, taken in parts.

    A part shares its statistics, whatever `bn_group` is in training: the noise of small groups
    would go into the inputs of the norms behind them.
    """
    network = model.clone(bn_group=0) if hasattr(model, "bn_group") else model

    def of_batch(variables, clips):
        def of_part(clips, key):
            clips = normalize(clips, settings.mean, settings.std)
            return moments(network, variables, clips, key)

        return accumulation.mean(of_part, clips, jax.random.key(0), settings.parts)

    return of_batch


def moments(model: Any, variables: dict, clips: Float[Array, "n t h w c"], key: Array) -> Sums:
    """The first two moments of every norm's input, about the running mean, by the paths of
    `batch_stats`: under "mean" the first, under "var" the second.

    About the running mean, which is near, since the difference of a large square's mean and a large
    mean's square has few digits left.
    """
    collections = ["moments", "batch_stats"]
    rngs = {"dropout": key}
    _, found = model.apply(variables, clips, True, mutable=collections, rngs=rngs)
    old = traverse_util.flatten_dict(variables["batch_stats"])
    sown = traverse_util.flatten_dict(found.get("moments", {}))
    means = {path: value[0] for path, value in sown.items() if path[-1] == "mean"}
    result = {}
    for path, means_of_groups in means.items():
        offset, twin = means_of_groups - old[path], (*path[:-1], "var")
        result[path] = offset.mean(0)
        result[twin] = (sown[twin][0] + offset**2).mean(0)
    return result


def finish(batch_stats: dict, averages: Sums) -> dict:
    """`batch_stats` with the population's mean and variance in the place of those of `averages`.

    The variance holds what differs between batches, too, which the mean of the batches' variances
    would leave out.
    """
    flat = traverse_util.flatten_dict(batch_stats)
    for path in [path for path in averages if path[-1] == "mean"]:
        twin = (*path[:-1], "var")
        flat[path] = flat[path] + averages[path]
        flat[twin] = jnp.maximum(averages[twin] - averages[path] ** 2, 0)
    return traverse_util.unflatten_dict(flat)
