"""SIGTERM: a run finishes its step, saves, and ends.

Preemptible machines, SLURM and Kubernetes send it a while before they end a process for good.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator

import jax
from jax.experimental import multihost_utils

from jaxaction.errors import SIGTERM_EXIT_CODE, InputError, Interrupted


class Interruption:
    """SIGTERM ends the process with exit code 143, at a moment when nothing is lost by it.

    In `with Interruption()` it ends at once, even while XLA compiles. Python's own handlers would
    wait until XLA is done, so a thread ends the process, woken by `signal.set_wakeup_fd`. Between
    `begin` and `end` of the steps the loop ends it, when `reached()` is true. In `saving(save)` the
    thread calls `save()` first.

    With several processes, JAX's preemption service takes the signal (its own handler, set by
    `jax.distributed.initialize`). It agrees with the other processes on a step, at which `reached`
    is true in all of them. Without a signal, `reached` reads a local variable.
    """

    def __init__(self) -> None:
        self._alone = jax.process_count() == 1
        self._lock = threading.Lock()
        self._save: Callable[[], str] | None = _nothing_to_save
        self._noticed = False
        self._steps = 0

    def __enter__(self) -> "Interruption":
        main = threading.current_thread() is threading.main_thread()
        self._listens = self._alone and main  # Python sets handlers in its main thread alone
        if self._listens:
            self._ours, theirs = socket.socketpair()
            self._ours.setblocking(False)
            self._handler = signal.signal(signal.SIGTERM, lambda *_: None)
            signal.siginterrupt(signal.SIGTERM, False)  # a save's system calls go on
            self._wakeup = signal.set_wakeup_fd(self._ours.fileno(), warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._listen, args=[theirs], daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._listens:
            signal.set_wakeup_fd(self._wakeup)
            signal.signal(signal.SIGTERM, self._handler)
            self._ours.close()
            self._thread.join()

    def begin(self) -> None:
        """From here on SIGTERM waits for `reached`: there is something to save."""
        self._change(None)

    def end(self) -> None:
        """From here on SIGTERM ends the process at once: everything is saved."""
        self._change(_nothing_to_save)

    def reached(self) -> bool:
        """Whether to save and raise `Interrupted` now; asked by every process after every step."""
        self._steps += 1
        if self._alone:
            return self._noticed
        return multihost_utils.reached_preemption_sync_point(self._steps)

    @contextlib.contextmanager
    def saving(self, save: Callable[[], None]) -> Iterator[None]:
        """Inside, SIGTERM calls `save` and ends the process; the run must not change meanwhile.

        With several processes, they do so together at the next batch of `watch`.
        """

        def saved() -> str:
            save()
            return "saved"

        self._change(saved if self._alone else None)
        try:
            yield
        except Interrupted:
            save()
            raise
        self._change(None)

    def watch(self, batches: Iterable) -> Iterator:
        """The batches of a test, the same number on every process.

        With several processes it raises `Interrupted` between two batches, the same two on all.
        """
        for batch in batches:
            if not self._alone and self.reached():
                raise Interrupted("ended by SIGTERM in a test")
            yield batch

    def _change(self, save: Callable[[], str] | None) -> None:
        """Never returns if the process is about to end."""
        with self._lock:
            self._save = save
            if self._noticed and save:
                _leave(save)

    def _listen(self, signals: socket.socket) -> None:
        while numbers := signals.recv(64):
            if signal.SIGTERM in numbers:
                with self._lock:
                    self._noticed = True
                    if self._save:
                        _leave(self._save)
        signals.close()


def _nothing_to_save() -> str:
    return "there was nothing to save"


def _leave(save: Callable[[], str]) -> None:
    """Ends the process from any thread, without waiting for the other threads."""
    code = SIGTERM_EXIT_CODE
    try:
        text = f"ended by SIGTERM; {save()}; the same command goes on"
    except InputError as error:
        text, code = str(error), 2
    except Exception:
        text, code = f"ended by SIGTERM, but saving failed\n{traceback.format_exc()}", 1
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
    os._exit(code)
