"""The reports of a run while it trains: its first line, its progress lines, its curves."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxaction.text import clock
from jaxaction.training.divergence import DivergenceCheck
from jaxaction.training.run_state import RunServices
from jaxaction.training.setup import TrainingSetup


class Window:
    """The steps since the last progress line: their metrics, and where the time went."""

    def __init__(self) -> None:
        self._metrics: list[dict[str, jax.Array]] = []
        self._videos: list[np.ndarray] = []
        self._waited = 0.0
        self._started = time.monotonic()

    def next_batch(self, iterator: Any) -> dict[str, np.ndarray]:
        """The iterator's next batch; the time until it comes counts as waiting for data."""
        begin = time.monotonic()
        batch = next(iterator)
        self._waited += time.monotonic() - begin
        return batch

    def add(self, metrics: Mapping[str, ArrayLike], videos: np.ndarray) -> None:
        """Counts a step, and keeps the indices of its videos.

        Waits for the step before it, so that batches don't pile up on a device.
        """
        self._metrics.append(metrics)
        self._videos.append(videos)
        if len(self._metrics) > 1:
            jax.block_until_ready(self._metrics[-2])

    def check(self, divergence: DivergenceCheck, last_step: int) -> None:
        """Waits for all steps, up to `last_step`; InputError for the first one that diverged."""
        self._metrics = jax.device_get(self._metrics)
        first_step = last_step - len(self._metrics) + 1
        steps = zip(self._metrics, self._videos, strict=True)
        for step, (metrics, videos) in enumerate(steps, first_step):
            divergence.check_metrics(step, metrics, videos)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The time spent inside does not count as the steps'."""
        begin = time.monotonic()
        yield
        self._started += time.monotonic() - begin

    def means(self, batch_size: int) -> dict[str, float]:
        """The mean metrics of the steps (at least one), and where the time went.

        `clips_per_second` counts all devices; `data_share` is the share of the time spent waiting
        for data.
        """
        seconds, count = time.monotonic() - self._started, len(self._metrics)
        names = self._metrics[0]
        means = {name: float(np.mean([m[name] for m in self._metrics])) for name in names}
        return means | {
            "clips_per_second": batch_size * count / seconds,
            "seconds_per_step": seconds / count,
            "data_share": self._waited / seconds,
        }


def heading(setup: TrainingSetup, step: int) -> str:
    """The first line of a run that starts after `step`."""
    name, batch_size = setup.config.model.name, setup.config.train.batch_size
    optim = setup.config.optim
    begin = f"goes on after step {step} of" if step else "takes"
    return (
        f"{name} {begin} {setup.total_steps} steps on {len(setup.videos)} videos"
        f" ({setup.steps_per_epoch} an epoch); batch {batch_size} on {setup.mesh.size}"
        f" {jax.devices()[0].platform} devices, learning rate {setup.schedule.learning_rate:g}"
        + scaling(optim.learning_rate, optim.reference_batch, batch_size)
    )


def scaling(learning_rate: float, reference_batch: int, batch_size: int) -> str:
    """How the batch size changes the learning rate; empty if it does not."""
    if reference_batch in (0, batch_size):
        return ""
    return (
        f" ({learning_rate:g} for a batch of {reference_batch};"
        " --config.optim.reference_batch=0 leaves it)"
    )


def line(step: int, total: int, steps_per_epoch: int, values: dict[str, float]) -> str:
    """`step 120/350  epoch 5.0  loss 0.412  acc 87.5 %  52.1 clips/s  data 3 %  left 2:10`."""
    return (
        f"step {step}/{total}  epoch {step / steps_per_epoch:.1f}  loss {values['loss']:.3f}"
        f"  acc {100 * values['accuracy']:.1f} %  {values['clips_per_second']:.1f} clips/s"
        f"  data {100 * values['data_share']:.0f} %"
        f"  left {clock((total - step) * values['seconds_per_step'])}"
    )


def report(setup: TrainingSetup, step: int, window: Window, services: RunServices) -> None:
    """Logs the progress line after `step`, and writes its figures as points of curves."""
    values = window.means(setup.config.train.batch_size)
    services.log(line(step, setup.total_steps, setup.steps_per_epoch, values))
    rate = float(setup.schedule(step - 1))
    curves = {"train/learning_rate": rate} | {f"train/{k}": v for k, v in values.items()}
    services.events.scalars(step, curves)
