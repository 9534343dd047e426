"""One run trains in a directory at a time: the lock that keeps a second start out."""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

from jaxaction.errors import InputError

NAME = "lock"
# A file system answers so where it has no locks, as some network file systems do.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class RunLock:
    """Locks a run's directory from `acquire` until the `with` block ends.

    The lock is the kernel's (`flock`), so it ends with the process, however that ends. The file
    `DIR/lock` names the process that holds it. One process of a run takes the lock; the others of
    that run rely on it. Network file systems that pass locks on (NFS, Lustre with `flock`) keep out
    starts on other machines, too.
    """

    def __init__(self, workdir: str):
        self.folder = Path(workdir)
        self._descriptor: int | None = None
        self._made: list[Path] = []  # folders that did not exist before, the innermost first

    def __enter__(self) -> "RunLock":
        return self

    def acquire(self) -> None:
        """Takes the lock; InputError if another process has it, or if the folder is read-only."""
        path = self.folder / NAME
        try:
            self._make_folders()
            while self._descriptor is None:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                if self._lock(descriptor):
                    self._descriptor = descriptor
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be written ({error.strerror}); give another --workdir"
            ) from error
        os.truncate(self._descriptor, 0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(self._descriptor, f"process {os.getpid()} on {_host()} since {started}".encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is None:
            return
        # The file goes before the lock: a start that has opened it already sees in `_lock` that
        # its file is no longer the directory's, and opens the next one.
        with contextlib.suppress(OSError):
            (self.folder / NAME).unlink()
        os.close(self._descriptor)
        self._descriptor = None
        with contextlib.suppress(OSError):  # a start that failed leaves no empty folders behind
            for folder in self._made:
                folder.rmdir()

    def _make_folders(self) -> None:
        missing = [f for f in (self.folder, *self.folder.parents) if not f.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._made = missing

    def _lock(self, descriptor: int) -> bool:
        """Whether the directory's lock is ours now; False if its file was replaced meanwhile."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                print(
                    f"warning: {self.folder} lies on a file system without locks: a second"
                    " start there would not be refused",
                    file=sys.stderr,
                )
                return True
            holder = os.read(descriptor, 200).decode(errors="replace") or "another process"
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise InputError(
                f"{self.folder} is in use by a training run ({holder}); wait for its end, or give"
                " another --workdir"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self.folder / NAME), os.fstat(descriptor)):
                return True
        os.close(descriptor)
        return False


def _host() -> str:
    return socket.gethostname()
