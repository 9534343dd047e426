"""SIGTERM, sent to real processes; what it does to a training run is in `test_loop`."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.paths import ROOT

BUSY = """
import hashlib
from jaxaction.errors import InputError
from jaxaction.training.preemption import Interruption

def outside_python():  # as XLA compiles: minutes in which no Python code of this thread runs
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**30)

def full():
    raise InputError("no room")
"""
SEVERAL = """
import sys, time, jax
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
from jaxaction.errors import Interrupted
from jaxaction.training.preemption import Interruption
saved = []
with Interruption() as interruption:
    interruption.begin()
    for step in range(3):
        assert not interruption.reached()
    print("begun", flush=True)
    try:
        with interruption.saving(lambda: saved.append("saved")):
            for batch in interruption.watch(range(2000)):
                time.sleep(0.01)
    except Interrupted as error:
        print(error, batch, saved)
        sys.exit(143)
"""


def start(script, *arguments):
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("", 143, "ended by SIGTERM; there was nothing to save; the same command goes on\n"),
        ("lambda: print('kept')", 143, "ended by SIGTERM; saved; the same command goes on\n"),
        ("full", 2, "no room\n"),
    ],
)
def test_sigterm_ends_a_process_that_is_outside_of_python(body, code, said):
    inside = f"interruption.begin()\n    with interruption.saving({body}): outside_python()"
    block = inside if body else "outside_python()"
    process = start(f"{BUSY}\nwith Interruption() as interruption:\n    {block}")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, said)
    assert out == ("kept\n" if "kept" in body else "")


def test_several_processes_stop_and_save_at_the_same_batch_if_one_gets_the_signal():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    processes = [start(SEVERAL, port, str(i)) for i in range(2)]
    assert [process.stdout.readline() for process in processes] == ["begun\n"] * 2
    processes[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [143, 143]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("ended by SIGTERM in a test ")
    assert outputs[0].endswith("['saved']\n")
