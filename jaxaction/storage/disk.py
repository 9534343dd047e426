"""A checkpoint that the disk refuses leaves nothing behind but one line of explanation."""

import contextlib
import errno
import gc
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxaction.errors import InputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota or largest file size exhausted


@contextlib.contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Turns the system's refusal to write a checkpoint to `folder` into an InputError.

    The checkpoint and Orbax's temporary directory beside it, `STEP.orbax-checkpoint-tmp`, are
    removed then.
    """
    try:
        with _no_late_tracebacks():
            yield
    except (OSError, ValueError) as error:
        number = _system_error(error)
        if not number:
            raise
        for part in folder.parent.glob(f"{folder.name}*"):
            if part.name.split(".")[0] == folder.name:
                shutil.rmtree(part, ignore_errors=True)
        raise InputError(
            f"checkpoint {folder} can't be written ({os.strerror(number)}); older ones are kept:"
            " make room there, then give the same command"
        ) from error


@contextlib.contextmanager
def _no_late_tracebacks() -> Iterator[None]:
    """Keeps TensorStore's other threads quiet after the first one has failed to write."""
    # Orbax raises the first error and closes its event loop. Threads that still write then report
    # to the closed loop, and Python prints a traceback for each. They get a second to end. No
    # upstream issue was found; this can go once Orbax waits for all writes before it raises.
    hook = sys.unraisablehook

    def others(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = others
    try:
        yield
    except KeyboardInterrupt:
        hook = others  # the process ends, and threads may write until then
        raise
    except (OSError, ValueError) as error:
        if _system_error(error):
            time.sleep(1)
            gc.collect()
        raise
    finally:
        sys.unraisablehook = hook


def _system_error(error: Exception) -> int:
    """The system's error number, or 0. TensorStore's ValueError has it in its text."""
    if isinstance(error, OSError):
        return error.errno or 0
    match = re.search(r"(?:os_error_code='|OS error )(\d+)", str(error))
    return int(match.group(1)) if match else 0
