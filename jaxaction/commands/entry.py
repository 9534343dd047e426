"""How every program ends: one line and an exit code for a mistake that its user can mend."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import jax

from jaxaction.errors import SIGTERM_EXIT_CODE, InputError, Interrupted
from jaxaction.runtime import compile_cache, distributed, host_memory
from jaxaction.storage import disk

_NO_MEMORY = "RESOURCE_EXHAUSTED: "  # what XLA's message begins with


def run_main(main: Callable[[list[str]], int | None]) -> None:
    """Calls `main(argv)` and leaves the process with its exit code (None: 0).

    Compiled programs and freed memory are kept, and other libraries' remarks are left out. An
    `InputError`, a full disk and too little memory become one line on stderr and exit code 2.
    Ctrl-C is exit code 130, SIGTERM during a training run 143, a reader of the output that went
    away 141. Any other exception is a bug and keeps its traceback. Where one of several processes
    fails, all end.
    """
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    compile_cache.keep_compiled_programs()
    host_memory.keep_freed_memory()
    for library in ("absl", "asyncio"):  # Orbax's remarks; its errors are raised, too
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        code = main(sys.argv[1:])
    except InputError as error:
        code = distributed.fail(2, f"{name}: {' '.join(str(error).split())}")
    except Interrupted as error:
        if jax.process_index() == 0:
            print(f"{name}: {error}; the same command goes on", file=sys.stderr)
        code = SIGTERM_EXIT_CODE
    except KeyboardInterrupt:
        code = distributed.fail(130, f"{name}: interrupted")
    except BrokenPipeError:  # as of `| head`; the rest of the buffer has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _unexpected(name, error)
    sys.exit(code or 0)


def _unexpected(name: str, error: Exception) -> int:
    """The exit code for a full disk or too little memory, which are told in one line.

    Anything else is a bug: it is raised again, or, among several processes, ends them all with its
    traceback.
    """
    if isinstance(error, OSError) and error.errno in disk.NO_ROOM:
        line = f"{name}: {error}; make room there, then give the same command"
        return distributed.fail(2, line)
    if isinstance(error, jax.errors.JaxRuntimeError) and str(error).startswith(_NO_MEMORY):
        reason = str(error).splitlines()[0].removeprefix(_NO_MEMORY)
        ways = "lower train.batch_size or test.batch_size, or set train.accumulate or model.remat"
        return distributed.fail(2, f"{name}: no memory left ({reason}); {ways}")
    if not jax.distributed.is_initialized():
        raise error
    return distributed.fail(1, traceback.format_exc())
