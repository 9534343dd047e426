"""One run trains in a directory at a time."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from jaxaction.errors import InputError
from jaxaction.storage import run_lock
from jaxaction.storage.run_lock import RunLock

HOLD = """
import sys
from jaxaction.storage.run_lock import RunLock
with RunLock(sys.argv[1]) as lock:
    lock.acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"` until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def acquire(folder):
    with RunLock(str(folder)) as lock:
        lock.acquire()


def test_a_second_start_is_refused_and_told_who_holds_the_directory(holder, tmp_path):
    with pytest.raises(InputError, match=rf"process {holder.pid} on .* since .*another --workdir"):
        acquire(tmp_path / "run")
    assert (tmp_path / "run" / "lock").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_process(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    acquire(tmp_path / "run")


def test_the_next_start_takes_the_lock_after_the_first_has_ended(holder, tmp_path):
    holder.communicate("")
    assert not (tmp_path / "run").exists()  # nothing was written there
    acquire(tmp_path / "run")


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "run").mkdir()
    acquire(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_files_of_a_run_stay(tmp_path):
    with RunLock(str(tmp_path / "a" / "run")) as lock:
        lock.acquire()
        (tmp_path / "a" / "run" / "config.json").write_text("{}")
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["config.json"]


def test_a_lock_file_that_was_replaced_meanwhile_is_opened_again(tmp_path, monkeypatch):
    path, flock, tries = tmp_path / "lock", fcntl.flock, []

    def replace_first(descriptor, operation):
        if not tries:  # as the holder does at its end, between our `open` and `flock`
            path.unlink()
        tries.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(run_lock.fcntl, "flock", replace_first)
    with RunLock(str(tmp_path)) as lock:
        lock.acquire()
        assert path.read_text().startswith(f"process {os.getpid()} ")
    assert len(tries) == 2


def test_a_file_system_without_locks_is_named_once_and_used(tmp_path, monkeypatch, capsys):
    def refuse(descriptor, operation):
        raise OSError(run_lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", refuse)
    acquire(tmp_path)
    assert capsys.readouterr().err.count("without locks") == 1


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written .*another --workdir"):
        acquire(tmp_path / "file" / "run")
