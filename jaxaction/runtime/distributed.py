"""Several processes that run one program: how they find each other, communicate, and end together.

Nothing here starts a process. A launcher does (`launchers`), or a user by hand with `--coordinator
HOST:PORT --process-id N --processes N`, which `start` takes out of a command line.
"""

import atexit
import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxaction.errors import InputError
from jaxaction.runtime import launchers

FLAGS = ("coordinator", "process-id", "processes")
USAGE = "[--coordinator HOST:PORT --process-id N --processes N]"
# How long processes wait for the last one to start; containers may be fetched meanwhile.
START_LIMIT_S = 300.0
# The first process may still write results when the others are done; a dead one is noticed before.
END_LIMIT_S = 3600
# The first process waits so long before it ends with an error: the others hear of it through it.
LAST_WORDS_S = 2.0
_SAID, _ENDED = "jaxaction/said", "jaxaction/ended"


class Group(NamedTuple):
    """The processes of a program, given by hand; a `count` of 1 is a single process."""

    coordinator: str  # HOST:PORT, where the first process listens
    index: int
    count: int


def take_group(argv: Sequence[str]) -> tuple[list[str], Group | None]:
    """The arguments without the three flags, and the group that the flags describe (or None).

    InputError if only some of them are given, and for values that describe no group.
    """
    remaining, given, args = [], {}, iter(argv)
    for arg in args:
        name, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or name not in FLAGS:
            remaining.append(arg)
            continue
        given[name] = value if equals else next(args, "")
    if not given:
        return remaining, None
    missing = [f"--{name}" for name in FLAGS if not given.get(name)]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing; give all of {USAGE[1:-1]}, or none")
    count = _integer("processes", given["processes"], 1, 2**31)
    index = _integer("process-id", given["process-id"], 0, count)
    return remaining, Group(_address(given["coordinator"]), index, count)


def _integer(name: str, text: str, low: int, end: int) -> int:
    if not text.isdecimal() or not low <= int(text) < end:
        raise InputError(f"--{name} {text} is not a whole number from {low} to {end - 1}")
    return int(text)


def _address(text: str) -> str:
    match = re.fullmatch(r"[^\s:]+:(\d{1,5})|\[[0-9a-fA-F:.]+\]:(\d{1,5})", text)
    if not match or not 0 < int(match.group(1) or match.group(2)) < 2**16:
        raise InputError(f"--coordinator {text} is not HOST:PORT, as in node1:12345")
    return text


def start(argv: Sequence[str], limit_s: float = START_LIMIT_S) -> list[str]:
    """Joins the other processes, if there are any; returns `argv` without the flags for that.

    Must be called before anything asks JAX for its devices. InputError for flags or an environment
    that can't be used. A process that doesn't find the others within `limit_s` says so in one line
    and ends with exit code 2. Afterwards only the first process writes to stdout.
    """
    remaining, group = take_group(argv)
    launched = launchers.detect(os.environ) if group is None else _by_hand(group)
    if launched is not None:
        _join(launched, limit_s)
        follower = threading.Thread(target=_follow, args=(launched.index,), daemon=True)
        follower.start()
        atexit.register(_wait_for_all, follower)
        if launched.index:
            _mute()
    return remaining


def _by_hand(group: Group) -> launchers.Launched | None:
    if group.count == 1:
        return None
    if group.index == 0:
        _check_port(group.coordinator)
    arguments = {"coordinator_address": group.coordinator, "process_id": group.index}
    arguments |= {"num_processes": group.count, "cluster_detection_method": "deactivate"}
    name = f"the {group.count} processes at {group.coordinator}"
    return launchers.Launched(name, group.index, arguments)


def _check_port(coordinator: str) -> None:
    """Raises InputError if the first process can't listen there; JAX would crash."""
    port = int(coordinator.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        why = error.strerror
        raise InputError(f"--coordinator {coordinator}: can't listen there ({why})") from error


def _join(launched: launchers.Launched, limit_s: float) -> None:
    def give_up() -> None:
        _say(
            f"{launched.name} did not all meet in {limit_s:g} s; see that each runs and reaches"
            " the first one's address"
        )
        os._exit(2)

    # JAX itself would abort with a stack trace, so its own limit is later.
    watch = threading.Timer(limit_s, give_up)
    watch.daemon = True
    watch.start()
    limits = {"initialization_timeout": int(limit_s) + 60, "shutdown_timeout_seconds": END_LIMIT_S}
    try:
        jax.distributed.initialize(**launched.arguments, **limits)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{launched.name} can't be joined: {error}") from error
    finally:
        watch.cancel()


def _mute() -> None:
    """Discards stdout, including what C++ code such as Gloo writes there."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _follow(index: int) -> None:
    """Ends this process, whatever it waits for, once one of the processes has failed.

    JAX's own shutdown would wait for all of them and then abort them with a stack trace.
    """
    client = _client()
    while True:
        try:
            code = client.blocking_key_value_get(_ENDED, 24 * 3600 * 1000)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" in str(error):
                continue
            return  # the program is over
        if index == 0:
            time.sleep(LAST_WORDS_S)
        os._exit(int(code))


def _wait_for_all(follower: threading.Thread) -> None:
    """Waits until all processes are done.

    Python would abort if the follower thread were still waiting in C++ code at the end.
    """
    jax.distributed.shutdown()
    follower.join()


def fail(code: int, text: str) -> int:
    """Prints on stderr why the program ends, once for all processes; returns `code`.

    With several processes it doesn't return: all end with that code, whatever they wait for.
    """
    if not jax.distributed.is_initialized():
        _say(text)
        return code
    sys.stdout.flush()
    client = _client()
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # another one was first, or all is gone
        client.key_value_set(_SAID, text)
        _say(text)
        client.key_value_set(_ENDED, str(code))
    time.sleep(5 * LAST_WORDS_S)  # for `_follow`
    os._exit(code)


def _client() -> Any:
    """JAX's client of the key-value store that all processes share."""
    from orbax.checkpoint import multihost  # takes long, and most commands are one process

    return multihost.get_jax_distributed_client()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def from_first(number: int) -> int:
    """The first process's `number`, in all."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def first_then_others(work: Callable[[], Any]) -> Any:
    """The result of `work()`; the other processes run it once the first one is done.

    So the first process alone writes the files that `work` makes, and the others find them there.
    """
    is_first = jax.process_index() == 0
    result = work() if is_first else None
    wait("first")
    return result if is_first else work()


def wait(name: str) -> None:
    """Waits until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def union(numbers: Iterable[int]) -> set[int]:
    """The numbers (0 or more) of all processes together, in all."""
    mine = np.array(sorted(numbers), np.int32)
    if jax.process_count() == 1:
        return set(mine.tolist())
    most = int(multihost_utils.process_allgather(np.int32(len(mine))).max())
    if not most:
        return set()
    padded = np.pad(mine, (0, most - len(mine)), constant_values=-1)
    return set(multihost_utils.process_allgather(padded).ravel().tolist()) - {-1}
