"""What is said about a training run while it runs: the progress line and the bad videos."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxaction.data import inspect_videos
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.runtime import distributed
from jaxaction.text import clock
from jaxaction.training.divergence import Guard


class Window:
    """The steps since the last progress line: their metrics, and where the time went."""

    def __init__(self, first_step: int) -> None:
        self.step = first_step
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

    def add(self, metrics: dict[str, jax.Array], videos: np.ndarray) -> None:
        """Counts a step, and keeps the indices of its videos.

        Waits for the one before it, so that batches don't pile up on a device.
        """
        self._metrics.append(metrics)
        self._videos.append(videos)
        self.step += 1
        if len(self._metrics) > 1:
            jax.block_until_ready(self._metrics[-2])

    def check(self, guard: Guard) -> None:
        """Waits for all steps; InputError, as the guard says, for the first that went wrong."""
        self._metrics = jax.device_get(self._metrics)
        first = self.step - len(self._metrics) + 1
        for i, (metrics, videos) in enumerate(zip(self._metrics, self._videos, strict=True)):
            guard.check(first + i, metrics, videos)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside does not count as time of the steps."""
        begin = time.monotonic()
        yield
        self._started += time.monotonic() - begin

    def means(self, batch_size: int) -> dict[str, float]:
        """The mean metrics of all steps so far (at least one), and where the time went.

        `clips_per_second` of all devices, `seconds_per_step`, and `data_share`, the part of the
        time spent waiting for data.
        """
        seconds, count = time.monotonic() - self._started, len(self._metrics)
        names = self._metrics[0]
        means = {name: float(np.mean([m[name] for m in self._metrics])) for name in names}
        return means | {
            "clips_per_second": batch_size * count / seconds,
            "seconds_per_step": seconds / count,
            "data_share": self._waited / seconds,
        }


def heading(parts: Any, step: int) -> str:
    """What a run begins with, after `step`; `parts` are the loop's."""
    train = parts.config.train
    begin = f"goes on after step {step} of" if step else "takes"
    return (
        f"{parts.config.model.name} {begin} {parts.total_steps} steps on {len(parts.videos)} videos"
        f" ({parts.steps_per_epoch} an epoch); batch {train.batch_size} on {parts.mesh.size}"
        f" {jax.devices()[0].platform} devices, learning rate {parts.schedule.learning_rate:g}"
        + scaling(parts.config)
    )


def scaling(config: ConfigDict) -> str:
    """How the learning rate follows the batch, where it does."""
    reference = config.optim.reference_batch
    if reference in (0, config.train.batch_size):
        return ""
    return (
        f" ({config.optim.learning_rate:g} for a batch of {reference};"
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


class BadVideos:
    """The unreadable videos of a run: each named once, and an end once they are too many.

    What a process has noted the others hear of in `share`; one alone shares at once.
    """

    def __init__(
        self, videos: Any, max_bad_share: float, known: Iterable[int], log: Callable[[str], None]
    ) -> None:
        self.known = sorted(known)
        self._noted: set[int] = set()
        self._videos, self._share, self._log = videos, max_bad_share, log

    def note(self, indices: np.ndarray) -> None:
        """Takes this process's share of a batch's `bad`: indices of videos, and -1 for none."""
        self._noted |= {int(i) for i in indices if i >= 0} - set(self.known)
        if jax.process_count() == 1:
            self.share()

    def share(self) -> None:
        """Names the videos that any process has noted since, in all processes the same ones.

        A video is opened again to say why. InputError once more than `evaluate.allowed_bad` of the
        videos were unreadable.
        """
        for index in sorted(distributed.union(self._noted) - set(self.known)):
            self.known = sorted([*self.known, index])
            name, total = self._videos.id(index), len(self._videos)
            self._log(
                f"{name} can't be read{self._why(index)}, another video takes its place;"
                f" bad videos so far: {len(self.known)} of {total}"
            )
            if len(self.known) > evaluate.allowed_bad(total, self._share):
                raise InputError(
                    f"{len(self.known)} of {total} videos can't be read (last: {name}), more than"
                    f" data.max_bad_share {self._share} allows; mend or remove them, or raise it"
                )
        self._noted.clear()

    def _why(self, index: int) -> str:
        """` (is empty: 0 bytes)`; "" where what is wrong shows only in training."""
        problem = inspect_videos.inspect_video(self._videos[index].video, quick=False).problem
        return f" ({' '.join(problem.split())})" if problem else ""
