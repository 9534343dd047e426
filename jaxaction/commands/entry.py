"""How every program ends: with one line and an exit code, if the user can mend the cause."""

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable

import jax

from jaxaction import files
from jaxaction.errors import SIGTERM_EXIT_CODE, InputError, Interrupted
from jaxaction.runtime import compile_cache, distributed, early_interrupt, host_memory
from jaxaction.storage import disk

# XLA has one exception for all its errors; only this beginning of the message tells them apart.
_NO_MEMORY = "RESOURCE_EXHAUSTED: "


def run_main(main: Callable[[list[str]], int | None]) -> None:
    """Calls `main(argv)` and exits with the code that it returns (None: 0).

    First turns on the cache of compiled programs, keeps freed memory in the process, and silences
    the log messages of other libraries. Exit codes of failures:

    - 2, with one line on stderr: an `InputError`, a full disk or quota, too little memory.
    - 130: Ctrl-C. 141: the reader of our output has closed it. 143: SIGTERM ended a training run.

    Every other exception is a bug and keeps its traceback. If one of several processes fails, all
    of them end.
    """
    early_interrupt.remove()
    name = early_interrupt.program_name()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal can't print is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    compile_cache.keep_compiled_programs()
    host_memory.keep_freed_memory()
    # Orbax logs its progress and its failures there. It raises the failures as well, so that they
    # would be printed twice.
    for library in ("absl", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        code = main([files.expand_argument(argument) for argument in sys.argv[1:]])
    except InputError as error:
        code = distributed.fail(2, f"{name}: {' '.join(str(error).split())}")
    except Interrupted as error:
        # SIGTERM reaches all processes of a run, and one of them says so.
        if jax.process_index() == 0:
            print(f"{name}: {error}; the same command goes on", file=sys.stderr)
        code = SIGTERM_EXIT_CODE
    except KeyboardInterrupt:
        code = distributed.fail(130, f"{name}: interrupted")
    except BrokenPipeError:
        # `| head` has closed our output. Python flushes stdout at exit and would fail once more;
        # see the note on SIGPIPE in the documentation of Python's signal module.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _unexpected(name, error)
    sys.exit(code or 0)


def _unexpected(name: str, error: Exception) -> int:
    """Returns the exit code for a full disk, too little memory, or a bug in one of many processes.

    Raises the error again if it is a bug and there is a single process.
    """
    if isinstance(error, OSError) and error.errno in disk.NO_ROOM:
        line = f"{name}: {error}; make room there, then give the same command"
        return distributed.fail(2, line)
    if isinstance(error, jax.errors.JaxRuntimeError) and str(error).startswith(_NO_MEMORY):
        what = str(error).splitlines()[0].removeprefix(_NO_MEMORY)
        ways = "lower train.batch_size or test.batch_size, or set train.accumulate or model.remat"
        return distributed.fail(2, f"{name}: no memory left ({what}); {ways}")
    if reason := _no_backend():
        platforms = os.environ.get("JAX_PLATFORMS", "")
        ways = "unset JAX_PLATFORMS" if platforms else "set JAX_PLATFORMS=cpu"
        return distributed.fail(
            2,
            f"{name}: JAX can't use its devices{f' (JAX_PLATFORMS={platforms})' * bool(platforms)}:"
            f" {reason}; {ways}, or see docs/installing.md for the driver and the cuda extra",
        )
    if not jax.distributed.is_initialized():
        raise error
    return distributed.fail(1, traceback.format_exc())


def _no_backend() -> str:
    """Why JAX has no device; empty if it has."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        return next(iter(str(error).splitlines()), "") or "no such platform is installed"
    return ""
