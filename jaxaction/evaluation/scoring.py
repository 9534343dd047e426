"""From uint8 views to one row of scores a video, for validation, test and prediction."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from jaxtyping import Array, Float, UInt8

from jaxaction.errors import InputError
from jaxaction.evaluation import views
from jaxaction.models.heads import view_logits
from jaxaction.models.pixels import normalize
from jaxaction.runtime import device_memory, sharding, xla_options

# Pixels (frames x height x width) of one pass on one device at most: 8 clips of 32x256x256, which
# keep a device busy. A layer of 64 channels at a quarter of the pixels is 1 GiB of float32 then.
PIXELS_PER_PASS = 2**24


class Scores(NamedTuple):
    """`scores` averaged as the protocol says; rows of `probs` sum to 1. See `views`."""

    scores: Float[np.ndarray, "n k"]
    probs: Float[np.ndarray, "n k"]


@dataclass(frozen=True)
class Scorer:
    """A model with its variables on this process's devices; turns views into a video's scores.

    Clips go through the model in passes of one size, for any number of videos and views. So a video
    gets the same scores alone and among others: passes of another size round differently (5e-5 in
    TSN's logits). The size is `clips_per_pass`, or fewer if the compiled program needs more than
    `memory` (bytes on each device).
    """

    model: Any
    variables: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]
    average: str
    window: tuple[int, ...]
    mesh: Mesh
    clips_per_pass: int
    memory: int
    multi_label: bool = False
    """Whether each class has a probability of its own."""

    def __call__(self, clips: UInt8[np.ndarray, "n v t h w c"]) -> Scores:
        """Scores and probabilities of every video."""
        logits = self._run(clip_logits, clips)
        logits = logits.reshape(len(clips), -1, logits.shape[-1])
        return Scores(*map(np.concatenate, zip(*map(self._averaged, logits), strict=True)))

    def features(self, clips: UInt8[np.ndarray, "n v t h w c"]) -> Float[np.ndarray, "n k"]:
        """The backbone's output, averaged over frames, height, width and views; float32.

        SlowFast's fast pathway comes first, as in the inputs of its classifier.
        """
        return np.asarray(self._run(clip_features, clips).mean(axis=1))

    def program(
        self, step: Callable, clip_shape: tuple[int, ...]
    ) -> tuple[jax.stages.Compiled, int]:
        """`clip_logits` or `clip_features`, compiled, and the number of clips that it takes.

        Compiled for `clips_per_pass`, and again for fewer clips while it needs too much memory. It
        takes at least one clip on each device.
        """
        leaves, tree = jax.tree.flatten(self.variables)
        described = (tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        static = (self.model, self.mean, self.std)
        static += (self.window,) if step is clip_logits else ()
        return _fitting(
            step, static, described, clip_shape, self.mesh, self.clips_per_pass, self.memory
        )

    def _averaged(self, logits: Float[Array, "v k"]) -> Scores:
        """Averages one video, since sums over several videos at once round differently."""
        scores = views.average_clips(logits[None], self.average, self.multi_label)
        probs = views.probabilities(scores, self.average, self.multi_label)
        if not np.isfinite(scores).all():
            raise InputError(
                "the network gives scores that are not finite: its weights are no trained ones, or"
                " they overflow; train or convert it again"
            )
        return Scores(np.asarray(scores), np.asarray(probs))

    def _run(self, step: Callable, clips: UInt8[np.ndarray, "n v t h w c"]) -> Array:
        flat, rows = views.fold(clips), []
        program, size = self.program(step, flat.shape[1:])
        for start in range(0, len(flat), size):
            part = flat[start : start + size]
            if len(part) < size:
                part = np.pad(part, [(0, size - len(part))] + [(0, 0)] * (flat.ndim - 1))
            batch = sharding.put({"clips": part}, self.mesh)["clips"]
            rows.append(program(self.variables, batch))
        return views.unfold(jnp.concatenate(rows)[: len(flat)], len(clips))


def make_scorer(
    model: Any,
    variables: Any,
    protocol: Any,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    batch_size: int,
) -> Scorer:
    """A `Scorer` on all devices of this process; `variables` may lie anywhere.

    It is made to run well with `batch_size` videos at a time, if they fit into memory.
    """
    devices = jax.local_devices()
    kind = (AxisType.Auto,)
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=kind, devices=devices)
    local = jax.tree.map(_local, {"params": {}, "batch_stats": {}} | dict(variables))
    local = jax.device_put(local, sharding.replicated(mesh))
    size = clips_per_pass(protocol.shape, batch_size, len(devices))
    pixels = (tuple(mean), tuple(std))
    memory = device_memory.budget()
    return Scorer(model, local, *pixels, protocol.average, protocol.window, mesh, size, memory)


def clips_per_pass(views_shape: tuple[int, ...], batch_size: int, num_devices: int) -> int:
    """A multiple of the devices: all views of `batch_size` videos, or as many as keep them busy.

    >>> clips_per_pass((30, 32, 256, 256, 3), batch_size=8, num_devices=2)
    16
    """
    v, t, h, w, _ = views_shape
    wanted = -(-batch_size * v // num_devices)
    return num_devices * max(1, min(wanted, PIXELS_PER_PASS // (t * h * w)))


@functools.lru_cache(maxsize=16)  # a run tests under two protocols; programs hold memory
def _fitting(
    step: Callable,
    static: tuple,
    described: tuple,
    clip_shape: tuple[int, ...],
    mesh: Mesh,
    size: int,
    memory: int,
) -> tuple[jax.stages.Compiled, int]:
    while True:
        program = _compiled(step, static, described, (size, *clip_shape), mesh)
        needed = device_memory.needed(program)
        if needed <= memory or size <= mesh.size:
            return program, size
        each = min(size // mesh.size - 1, int(size / mesh.size * memory / needed))
        size = mesh.size * max(1, each)


def _compiled(
    step: Callable, static: tuple, described: tuple, shape: tuple[int, ...], mesh: Mesh
) -> jax.stages.Compiled:
    """`step(variables, clips)` for clips of this shape, split over the mesh."""
    model, *pixels = static
    tree, leaves = described
    replicated, split = sharding.replicated(mesh), sharding.split(mesh)
    variables = [jax.ShapeDtypeStruct(*leaf, sharding=replicated) for leaf in leaves]
    clips = jax.ShapeDtypeStruct(shape, jnp.uint8, sharding=split)

    @functools.wraps(step, assigned=["__name__"])
    def run(variables, clips):
        return step(model, variables, clips, *pixels)

    lowered = jax.jit(run).lower(jax.tree.unflatten(tree, variables), clips)
    return lowered.compile(compiler_options=xla_options.for_inference())


def clip_logits(
    model: Any,
    variables: Any,
    clips: UInt8[Array, "n t h w c"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    window: tuple[int, ...] = (),
) -> Float[Array, "n p k"]:
    """The logits of every clip in inference mode, one row or one for each `window`."""
    return view_logits(model, variables, normalize(clips, mean, std), window)


def clip_features(
    model: Any,
    variables: Any,
    clips: UInt8[Array, "n t h w c"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Array, "n k"]:
    """The pooled features of every clip; with several pathways the last one comes first."""
    outputs = model.apply(variables, normalize(clips, mean, std), False, method="features")
    pathways = outputs[::-1] if isinstance(outputs, (tuple, list)) else (outputs,)
    return jnp.concatenate([x.astype(jnp.float32).mean(axis=(1, 2, 3)) for x in pathways], axis=-1)


def _local(leaf: Any) -> Any:
    """This process's copy of an array that is replicated over several processes."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf.addressable_data(0)
    return leaf
