"""A checkpoint that the disk doesn't take leaves nothing behind, and one line is said about it."""

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
def whole(folder: Path) -> Iterator[None]:
    """What is written to `folder` inside is whole in the end; InputError if the system refuses it.

    Then the folder is gone, and so is its predecessor of Orbax's, `STEP.orbax-checkpoint-tmp`.
    """
    try:
        with _calm():
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
def _calm() -> Iterator[None]:
    """TensorStore's threads, which still write when the first one has failed, report to an event
    loop that is gone: each would print a traceback, and gets a second to do so unheard."""
    hook = sys.unraisablehook

    def others(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = others
    try:
        yield
    except (OSError, ValueError) as error:
        if _system_error(error):
            time.sleep(1)
            gc.collect()
        raise
    finally:
        sys.unraisablehook = hook


def _system_error(error: Exception) -> int:
    """The system's number of an error, also of TensorStore's, a ValueError; 0 if there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"(?:os_error_code='|OS error )(\d+)", str(error))
    return int(found.group(1)) if found else 0
