"""How programs end where JAX has no device, and where Ctrl-C comes while modules are imported."""

import os
import signal
import subprocess
import sys

import pytest

NO_DEVICE = """
import jax
from jaxaction.commands import entry
entry.run_main(lambda argv: print(jax.devices()))
"""
INTERRUPTED = """
import os, signal
{before}
from jaxaction.runtime import early_interrupt
early_interrupt.install()
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:  # as some modules do while they are imported
    pass
print("went on")
"""


def run(script, **environment):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("platform", ["cuda", "nothere"])
def test_a_platform_that_is_not_there_is_one_line(platform):
    done = run(NO_DEVICE, JAX_PLATFORMS=platform)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"JAX can't use its devices (JAX_PLATFORMS={platform})" in line
    assert "unset JAX_PLATFORMS" in line


def test_an_interrupt_while_modules_are_imported_is_one_line():
    done = run(INTERRUPTED.format(before=""))
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "-c: interrupted\n"


def test_an_ignored_interrupt_stays_ignored():
    ignore = f"signal.signal({int(signal.SIGINT)}, signal.SIG_IGN)"
    assert run(INTERRUPTED.format(before=ignore)).stdout == "went on\n"


def test_importing_the_package_imports_no_jax():
    script = "import sys, jaxaction; print('jax' in sys.modules, jaxaction.__version__)"
    assert run(script).stdout.startswith("False ")
