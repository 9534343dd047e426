"""Tells where a step hangs: `faulthandler` prints every thread's stack on stderr."""

import contextlib
import faulthandler
from collections.abc import Iterator

_STDERR = 2  # the file descriptor: `sys.stderr` may have been replaced by something without one


@contextlib.contextmanager
def disarmed_on_exit() -> Iterator[None]:
    """Cancels any pending stack dump on exit."""
    try:
        yield
    finally:
        disarm()


def arm(seconds: float) -> None:
    """Prints all stacks in `seconds` from now, and every `seconds` after that; 0: never.

    Each call restarts the clock and costs 22 microseconds. The process is not ended: a
    network disk may come back, and a scheduler has its own limit. A thread in C does the printing,
    so it works even if the interpreter is stuck.
    """
    if seconds:
        faulthandler.dump_traceback_later(seconds, repeat=True, file=_STDERR)


def disarm() -> None:
    """Cancels the pending stack dump: no step is running."""
    faulthandler.cancel_dump_traceback_later()
