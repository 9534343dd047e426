"""Turns a failed save, on a full disk for example, into one line, and removes its files."""

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
from typing import TYPE_CHECKING

from jaxaction.errors import InputError

if TYPE_CHECKING:  # the type of a hook's argument has no name at run time
    from sys import UnraisableHookArgs

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota or largest file size exhausted


@contextlib.contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Turns an error of the system while a checkpoint is written to `folder` into an InputError.

    The checkpoint and Orbax's temporary directory, `STEP.orbax-checkpoint-tmp`, are removed then.
    """
    try:
        with _no_late_tracebacks():
            yield
    except (OSError, ValueError) as error:
        number = _system_error(error)
        if not number:
            raise
        for part in folder.parent.glob(f"{folder.name}*"):
            if part.name.split(".")[0] == folder.name:  # and not 120 for 12
                shutil.rmtree(part, ignore_errors=True)
        raise InputError(
            f"checkpoint {folder} can't be written ({os.strerror(number)}); older ones are kept:"
            " make room there, then give the same command"
        ) from error


@contextlib.contextmanager
def _no_late_tracebacks() -> Iterator[None]:
    """Suppresses the tracebacks of TensorStore's other threads after the first failed write."""
    # Orbax raises the first error and closes its event loop. Threads that still write then report
    # to the closed loop, and Python prints a traceback for each. They get a second to end, and a
    # garbage collection calls the hook now instead of later. No
    # upstream issue was found; this can go once Orbax waits for all writes before it raises.
    hook = sys.unraisablehook

    def others(unraisable: "UnraisableHookArgs") -> None:
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
    """Returns the system's error number, or 0 if the error is another one."""
    if isinstance(error, OSError):
        return error.errno or 0
    # TensorStore raises a ValueError with the number in its text.
    match = re.search(r"(?:os_error_code='|OS error )(\d+)", str(error))
    return int(match.group(1)) if match else 0
