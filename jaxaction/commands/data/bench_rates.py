"""How many clips a second: a thread stage by stage, the loader as a whole, and the model."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxaction import data
from jaxaction.data.decode import DecodeError
from jaxaction.data.protocol import read_sampled
from jaxaction.errors import InputError
from jaxaction.runtime import sharding
from jaxaction.train_state import TrainState
from jaxaction.training import setup
from jaxaction.training.setup import TrainingSetup, compile_step, create_state

ROUNDS = 5

Result = TypeVar("Result")


class Stages(NamedTuple):
    """Seconds a clip on one thread, medians over rounds."""

    record: float
    decode: float  # opening the video, counting its frames, and those that were sampled as RGB
    transform: float  # from there to the clip

    @property
    def total(self) -> float:
        return sum(self)


def in_rounds(work: Callable[[], Result], seconds: float) -> list[list[Result]]:
    """Returns the results of `work`, one list for each round.

    A round has at least one call. All take about these seconds, but no round begins after twice as
    many.
    """
    started, rounds = time.perf_counter(), []
    while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - started < 2 * seconds):
        round_started, results = time.perf_counter(), []
        while not results or time.perf_counter() - round_started < seconds / ROUNDS:
            results.append(work())
        rounds.append(results)
    return rounds


def rate(work: Callable[[], int], seconds: float) -> float:
    """Median over rounds of how many a second `work` does; a call returns how many it did."""

    def timed() -> tuple[int, float]:
        start = time.perf_counter()
        return work(), time.perf_counter() - start

    sums = [np.sum(round_results, axis=0) for round_results in in_rounds(timed, seconds)]
    return float(statistics.median(count / spent for count, spent in sums))


def measure_stages(source: Any, transform: data.TrainTransform, seconds: float) -> Stages:
    """The time of each stage, measured in turn on the same random videos.

    Each is read once before, so that the system's cache has it. Unreadable ones are passed over, as
    in training; InputError if all are.
    """
    times = _stage_times(source, transform)
    round_means = [np.mean(rows, axis=0) for rows in in_rounds(lambda: next(times), seconds)]
    return Stages(*np.median(round_means, axis=0).tolist())


def loader_rate(config: ConfigDict, source: Any, threads: int, seconds: float) -> float:
    """Clips a second that training's loader delivers with so many threads."""
    config = ConfigDict(config)
    config.data.num_threads = threads
    batches = iter(setup.train_loader(config, source))
    next(batches)  # the threads start, and fill what is read ahead
    clips_per_second = rate(lambda: len(next(batches)["index"]), seconds)
    batches.close()
    return clips_per_second


def step_rate(parts: TrainingSetup, seconds: float, log: Callable[[str], None]) -> float:
    """Clips a second of the training step, when the next batch is always there."""
    batches = iter(parts.loader())
    first = next(batches)
    batches.close()
    batch = {name: first[name] for name in ("clip", "label")}
    state = jax.device_put(_made_up_state(parts), sharding.replicated(parts.mesh))
    step = compile_step(parts, state, log)

    def work() -> int:
        nonlocal state
        state, metrics = step(state, sharding.put(batch, parts.mesh))
        jax.block_until_ready(metrics)
        return len(batch["clip"])

    work()
    return rate(work, seconds)


def _made_up_state(parts: TrainingSetup) -> TrainState:
    """A state of the right shapes whose numbers are harmless: a real one takes long to compile."""
    rng = np.random.default_rng(0)

    def values(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return np.zeros(leaf.shape, leaf.dtype)
        return rng.uniform(0.01, 0.05, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(values, jax.eval_shape(partial(create_state, parts)))


def _stage_times(
    source: Any, transform: data.TrainTransform
) -> Iterator[tuple[float, float, float]]:
    """The stages' seconds of one video after the other, endlessly."""
    rng = np.random.default_rng(0)
    while True:
        unreadable = 0
        for index in rng.permutation(len(source)).tolist():
            try:
                yield _time_stages(source, transform, index, int(rng.integers(2**32)))
            except DecodeError as error:
                unreadable, last_error = unreadable + 1, error
        if unreadable == len(source):
            raise InputError(f"none of the {unreadable} videos can be read; the last: {last_error}")


def _time_stages(
    source: Any, transform: data.TrainTransform, index: int, seed: int
) -> tuple[float, float, float]:
    def decode(video: Any) -> None:
        rng = np.random.default_rng(seed)
        read_sampled(video, lambda count, fps: transform.frames(count, fps, rng))

    decode(source[index].video)
    started = time.perf_counter()
    record = source[index]
    record_read = time.perf_counter()
    decode(record.video)
    decoded = time.perf_counter()
    # The same seed draws the same frames, and what is left is the transform's own.
    transform(record.video, record.label, np.random.default_rng(seed))
    end = time.perf_counter()
    return (
        record_read - started,
        decoded - record_read,
        max(0.0, (end - decoded) - (decoded - record_read)),
    )
