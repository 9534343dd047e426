"""Precise batch norm: statistics computed over many clips with the same weights.

The running statistics of training are an average over about the last ten batches, each taken with
other weights. Wu and Johnson 2021 (Rethinking "Batch" in BatchNorm), section 3.
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

Sums = dict[tuple[str, ...], Float[Array, "_"]]


class PreciseBNSettings(NamedTuple):
    """How many clips, and how they go through the network; pixels on the scale 0 to 255."""

    clips: int  # rounded up to whole batches; 0: no precise statistics
    batch_size: int  # of all processes
    parts: int  # of a batch, one in memory at a time
    mean: tuple[float, ...]
    std: tuple[float, ...]


def statistics(
    model: Any, variables: dict, loader: Iterable[dict], mesh: Mesh, settings: PreciseBNSettings
) -> dict[str, dict]:
    """`{"batch_stats": ...}`: the mean and variance of every norm's input over the first clips of
    `loader`, with `variables["params"]`; empty if `settings.clips` is 0.

    `loader` is not the iterator that training reads from, so the clips are the same each time.
    Norms that keep their statistics in training keep them here. Clips are not mixed, as in tests.
    """
    count = -(-settings.clips // settings.batch_size)
    if not count:
        return {}
    program, sums = _program(model, mesh, settings), None
    for _, batch in zip(range(count), loader, strict=False):
        clips = sharding.put({"clip": batch["clip"]}, mesh)["clip"]
        # Waits, since batches would pile up on the device otherwise.
        moments_of_batch = jax.block_until_ready(program(variables, clips))
        sums = moments_of_batch if sums is None else jax.tree.map(jnp.add, sums, moments_of_batch)
    averages = jax.tree.map(lambda x: x / count, sums)
    return {"batch_stats": finish(variables["batch_stats"], averages)}


@functools.lru_cache(maxsize=1)
def _program(model: Any, mesh: Mesh, settings: PreciseBNSettings) -> Callable:
    replicated, split = sharding.replicated(mesh), sharding.split(mesh)
    return jax.jit(
        batch_moments(model, settings),
        in_shardings=(replicated, split),
        out_shardings=replicated,
        compiler_options=xla_options.for_training(),
    )


def batch_moments(
    model: Any, settings: PreciseBNSettings
) -> Callable[[dict, UInt8[Array, "n t h w c"]], Sums]:
    """Returns `moments(variables, clips)` of a whole batch, computed part by part.

    All clips of a part share their statistics, whatever `bn_group` is in training: small groups
    would add noise to the inputs of all later norms.
    """
    network = model.clone(bn_group=0) if hasattr(model, "bn_group") else model

    def of_batch(variables, clips):
        def of_part(clips, key):
            clips = normalize(clips, settings.mean, settings.std)
            return moments(network, variables, clips, key)

        mean = accumulation.mean_over_parts(of_part, settings.parts)
        return mean(clips, jax.random.key(0))

    return of_batch


def moments(model: Any, variables: dict, clips: Float[Array, "n t h w c"], key: Array) -> Sums:
    """The first two moments of every norm's input relative to the running mean, by the paths of
    `batch_stats`: under "mean" the first, under "var" the second.

    Moments are taken relative to the running mean, because E[x^2] - E[x]^2 loses precision when
    the mean is large.
    """
    collections = ["moments", "batch_stats"]
    rngs = {"dropout": key}
    _, updates = model.apply(variables, clips, True, mutable=collections, rngs=rngs)
    running = traverse_util.flatten_dict(variables["batch_stats"])
    sown = traverse_util.flatten_dict(updates.get("moments", {}))
    means = {path: value[0] for path, value in sown.items() if path[-1] == "mean"}
    result = {}
    for path, means_of_groups in means.items():
        offset, var_path = means_of_groups - running[path], (*path[:-1], "var")
        result[path] = offset.mean(0)
        result[var_path] = (sown[var_path][0] + offset**2).mean(0)
    return result


def finish(batch_stats: dict, averages: Sums) -> dict:
    """Returns `batch_stats` with the mean and variance of all clips, computed from `averages`.

    The variance includes the differences between batches; the mean of the batches' variances would
    not.
    """
    flat = traverse_util.flatten_dict(batch_stats)
    for path in [path for path in averages if path[-1] == "mean"]:
        var_path = (*path[:-1], "var")
        flat[path] = flat[path] + averages[path]
        flat[var_path] = jnp.maximum(averages[var_path] - averages[path] ** 2, 0)
    return traverse_util.unflatten_dict(flat)
