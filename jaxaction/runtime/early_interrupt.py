"""Ctrl-C while a command still imports its modules: one line and exit code 130."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType


def install() -> None:
    """Ends this process in one line at SIGINT; a SIGINT that is ignored stays so (`nohup`).

    An exception would not do: code that imports modules may catch it and go on.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def remove() -> None:
    """SIGINT raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def program_name() -> str:
    """Returns the name of the started program: `train.py`, or `jaxaction`."""
    program = Path(sys.argv[0])
    return program.parent.name if program.name == "__main__.py" else program.name


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{program_name()}: interrupted\n".encode(errors="replace"))
    os._exit(130)
