"""The unreadable videos of a run: each is named once, and too many end the run."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jaxaction.data import inspect_videos
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.runtime import distributed


class BadVideos:
    """Collects unreadable videos, names each one once, and ends the run if there are too many.

    Each process notes the videos that it meets; `share` tells them to all processes. A process that
    is alone shares at once.
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
        """Names the videos that any process has noted since the last call.

        All processes name the same videos. A video is opened again to say why it can't be read.
        InputError once more videos than `evaluate.allowed_bad` were unreadable.
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
        """Why it can't be read, ` (is empty: 0 bytes)`; "" if only training can't use the video."""
        problem = inspect_videos.inspect_video(self._videos[index].video, quick=False).problem
        return f" ({' '.join(problem.split())})" if problem else ""
