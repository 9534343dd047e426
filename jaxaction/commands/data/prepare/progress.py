"""Progress of a long preparation, as plain lines on stderr."""

import sys
import time
from collections.abc import Iterator
from typing import Any

from jaxaction.text import clock

SECONDS = 10.0  # between two lines


class Progress:
    """Counts videos and tells of them: `256/19796  12.3 videos/s  left 26:28`."""

    def __init__(self, total: int, done: int):
        self._total, self._done, self._before = total, done, done
        self._started = self._told = time.monotonic()
        if done:
            print(f"{done} of {total} videos are done already", file=sys.stderr, flush=True)

    def watched(self, found: Iterator[Any]) -> Iterator[Any]:
        """Yields the same, counting."""
        for each in found:
            self._done += 1
            if time.monotonic() - self._told >= SECONDS:
                self._tell()
            yield each

    def close(self) -> None:
        """The last line."""
        if self._done > self._before:
            self._tell()

    def _tell(self):
        self._told = time.monotonic()
        rate = (self._done - self._before) / max(self._told - self._started, 1e-9)
        left = clock((self._total - self._done) / rate)
        line = f"{self._done}/{self._total}  {rate:.1f} videos/s  left {left}"
        print(line, file=sys.stderr, flush=True)
