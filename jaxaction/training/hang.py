"""Tells where a step hangs: every thread's stack on stderr, by `faulthandler`."""

import contextlib
import faulthandler
from collections.abc import Iterator

_STDERR = 2  # the file descriptor: `sys.stderr` may have been replaced by something without one


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Inside, steps may be watched; none is any more in the end."""
    try:
        yield
    finally:
        rest()


def begin(seconds: float) -> None:
    """Prints all stacks in `seconds` from now, and every `seconds` after that; 0: never.

    The next call begins anew (22 microseconds). The process goes on waiting: a network disk that
    comes back is worth more than an end, and a scheduler has its own limit. A thread in C does it,
    so that it works also where the interpreter is stuck.
    """
    if seconds:
        faulthandler.dump_traceback_later(seconds, repeat=True, file=_STDERR)


def rest() -> None:
    """No step runs; nothing is printed."""
    faulthandler.cancel_dump_traceback_later()
