"""Writing a file as a whole or not at all."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from jaxaction.errors import InputError


def expand(path: str) -> str:
    """Replaces `~`, `~name` and `$VARIABLE` in a path, unless the literal path exists.

    InputError for a `~` that stands for no known home folder: a folder of that name would be made.
    """
    if os.path.lexists(path):
        return path
    expanded = os.path.expanduser(os.path.expandvars(path))
    if expanded.startswith("~"):
        raise InputError(
            f"{path}: {expanded.split(os.sep)[0]} is no known home; write the path out"
        )
    return expanded


def expand_argument(argument: str) -> str:
    """Expands the path in `PATH`, `--flag=PATH` or `--config.key=PATH`; other text stays."""
    name, equals, value = argument.partition("=")
    if not (equals and name.startswith("--")):
        name, equals, value = "", "", argument
    if value.startswith(("~", "$")) or "/$" in value:
        value = expand(value)
    return f"{name}{equals}{value}"


def check_writable(folder: Path, way_out: str) -> None:
    """Makes `folder` and a file in it, which is removed; InputError ends with `way_out`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}); {way_out}") from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file as a whole: `write(file)` fills a temporary one, which then becomes `path`.

    InputError if that fails, as in a folder without permission; `path` then stays as it was.
    """
    write_together({path: write})


def write_together(
    files: Mapping[Path, Callable[[IO[bytes]], object]], before: Callable[[], object] = lambda: None
) -> None:
    """Writes several files as wholes, and replaces none of them before all are written.

    `files` gives each path the function that fills its file. The paths are replaced in their order,
    after a call of `before`. InputError if a file can't be written; all paths then stay as they
    were.
    """
    path = next(iter(files))
    try:
        for path, write in files.items():
            with _temporary(path).open("wb") as file:
                write(file)
        before()
        for path in files:
            _temporary(path).replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} can't be written ({reason}); name another") from error
    finally:
        for path in files:
            with contextlib.suppress(OSError):
                _temporary(path).unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")
