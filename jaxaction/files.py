"""Writing a file as a whole or not at all."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from jaxaction.errors import InputError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file as a whole: `write(file)` fills a temporary one, which then becomes `path`.

    InputError if that fails, as in a folder without permission; `path` then stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} can't be written ({reason}); name another") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
