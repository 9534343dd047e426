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
        self._total, self._done, self._done_before = total, done, done
        self._started = self._last_line = time.monotonic()
        if done:
            print(f"{done} of {total} videos are done already", file=sys.stderr, flush=True)

    def count(self, results: Iterator[Any]) -> Iterator[Any]:
        """Yields the same, counting."""
        for result in results:
            self._done += 1
            if time.monotonic() - self._last_line >= SECONDS:
                self._print_line()
            yield result

    def close(self) -> None:
        """The last line."""
        if self._done > self._done_before:
            self._print_line()

    def _print_line(self):
        self._last_line = time.monotonic()
        rate = (self._done - self._done_before) / max(self._last_line - self._started, 1e-9)
        time_left = clock((self._total - self._done) / rate)
        line = f"{self._done}/{self._total}  {rate:.1f} videos/s  left {time_left}"
        print(line, file=sys.stderr, flush=True)
